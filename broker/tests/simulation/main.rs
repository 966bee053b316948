//! The whole broker in a simulated network, on simulated disks, by simulated clocks.
mod audit;
mod checker;
mod client;
mod dice;
mod entropy;
mod history;
mod medium;
mod nemesis;
mod node;
mod plan;
mod reader;
mod run;
mod trace;
mod workload;
mod world;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let seed = arguments.first().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    entropy::begin(seed);
    let began = std::time::Instant::now();
    let report = run::run(plan::Plan::new(seed, None), arguments.get(1).map(String::as_str));
    println!("{report}{:?} {:?}", report.plan, began.elapsed());
}
