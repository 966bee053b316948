# The commands of the project. `just` lists them; https://just.systems has the program. Each is one line that works
# without it too.

# Lists the commands.
default:
    @just --list

# Starts a broker with its data in ./tidelog-data.
serve *options:
    cargo run --release -- serve --data ./tidelog-data {{options}}

# Runs every test: format, lints, Rust tests, real clients, short faults and attacks.
test *options:
    ./tests/run {{options}}

# Runs every test and then the long steps, or these long steps alone.
test-all *steps:
    ./tests/run --all {{steps}}

# Lists the long steps.
long-steps:
    @./tests/run --list

# Runs the Rust tests whose names contain a word.
test-rust filter:
    cargo test --workspace {{filter}}

# Formats the code and shows what the lints find.
lint:
    cargo fmt --all && cargo clippy --workspace --all-targets -- -D warnings

# Checks imports between modules and crates, and that the documents name code that exists.
tidy:
    cargo test --workspace --test architecture

# Checks the licences, advisories and sources of all dependencies (needs cargo-deny).
deny:
    cargo deny check

# Records the expected output of the command line anew.
record-command-line:
    TIDELOG_RECORD=1 cargo test --workspace --test command_line

# Simulates clusters by their seeds.
simulation seeds="2000" first="1":
    tests/simulation {{seeds}} {{first}}

# Runs three real nodes through faults (Linux, root).
faults minutes="30" *options:
    tests/faults/run --minutes {{minutes}} {{options}}

# Attacks a broker with 256 MiB of memory.
attacks seconds="60" *options:
    tests/attacks/run --seconds {{seconds}} {{options}}

# Kills a broker again and again under load.
stress minutes="60":
    tests/.cache/venv/bin/python tests/stress/kill9.py --minutes {{minutes}}

# Runs every fuzz target for so many seconds.
fuzz seconds="60":
    TIDELOG_FUZZ_SECONDS={{seconds}} cargo test --workspace --test seconds

# Runs one fuzz target under libFuzzer (needs a nightly toolchain and a C++ compiler).
libfuzzer target seconds="600":
    fuzz/libfuzzer/run {{target}} {{seconds}}

# Runs the criterion benches: write-ahead log and PutRecords.
bench *options:
    cargo bench -p tidelog-benches {{options}}

# Measures fan-out to many subscribers of a running broker.
bench-fan-out *options:
    cargo run --release -p tidelog-benches --bin fan_out -- {{options}}

# Measures lease tables beside puts at full rate to a running broker.
bench-lease-tables *options:
    cargo run --release -p tidelog-benches --bin lease_tables -- {{options}}

# Loads a running broker and verifies what it acknowledged.
bench-load *options:
    cargo run --release -- bench {{options}}
