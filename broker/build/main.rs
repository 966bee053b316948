//! Turns the service model (`service-model.json`: shapes, bounds and errors of all operations) into Rust: the
//! operations, the tables of members with their bounds, and the types of requests and answers. `src/ops/api/mod.rs`
//! includes the result, and `src/limits.rs` the bounds that other code needs as constants; no bound of the model stands
//! anywhere else.
//!
//! Also writes when the program was built, before which no clock can be right: SOURCE_DATE_EPOCH, or the time of the
//! newest commit, less a day. The same sources give the same date; an incremental build may keep an older one, which is
//! as right.

mod model;
mod tables;
mod types;

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use model::Model;

const MODEL: &str = "service-model.json";
/// Margin for a committer's clock that runs ahead of the build machine's.
const DAY_S: u64 = 86_400;
/// 2026-11-01T00:00:00Z.
const FIRST_RELEASE_S: u64 = 1_793_491_200;

fn main() {
    println!("cargo::rerun-if-changed={MODEL}");
    println!("cargo::rerun-if-changed=build");
    let text = fs::read_to_string(MODEL).expect("the service model stands beside the manifest");
    let document = serde_json::from_str(&text).expect("the service model is JSON");
    let model = Model::new(&document);
    let generated = [tables::write(&model), types::write(&model)].concat();
    let out = env::var_os("OUT_DIR").expect("cargo names the directory");
    fs::write(Path::new(&out).join("service_model.rs"), generated).expect("the directory can be written");
    fs::write(Path::new(&out).join("model_bounds.rs"), tables::write_bounds(&model))
        .expect("the directory can be written");
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let built_ms = built_s().saturating_sub(DAY_S) * 1_000;
    fs::write(Path::new(&out).join("built_ms.rs"), built_ms.to_string())
        .expect("the directory can be written");
}

/// Seconds since the epoch: the date that the build is asked for, or that of the newest commit, or, for sources without
/// either, that of the first release.
fn built_s() -> u64 {
    let asked = env::var("SOURCE_DATE_EPOCH").ok().and_then(|seconds| seconds.trim().parse().ok());
    let of_commit = || {
        let git = Command::new("git").args(["log", "-1", "--format=%ct"]).output().ok()?;
        std::str::from_utf8(&git.stdout).ok()?.trim().parse().ok()
    };
    asked.or_else(of_commit).unwrap_or(FIRST_RELEASE_S)
}
