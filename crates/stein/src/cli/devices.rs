//! `stein devices`.

use serde_json::json;
use stein_device::{DeviceRequest, adapters, choose};

use super::arguments::Devices;
use super::{Failure, Outcome, print, print_json};

pub(crate) fn devices(arguments: &Devices) -> Outcome {
    let adapters = adapters();
    let auto = choose(&DeviceRequest::Auto).map_err(|e| Failure::usage(e.to_string()))?;
    let cpu = choose(&DeviceRequest::Cpu).map_err(|e| Failure::usage(e.to_string()))?;
    if arguments.json {
        let list: Vec<_> = adapters
            .iter()
            .map(|a| {
                json!({
                    "device": a.request().to_string(),
                    "name": a.name,
                    "kind": a.kind.name(),
                    "api": a.backend.name(),
                    "driver": a.driver,
                    "driver_info": a.driver_info,
                })
            })
            .collect();
        print_json(&json!({ "auto": auto.description, "cpu": cpu.description, "adapters": list }));
        return Ok(());
    }
    print(&format!("{:22} {}", "cpu", cpu.description.trim_start_matches("cpu: ")));
    for adapter in &adapters {
        print(&format!("{:22} {adapter}", adapter.request().to_string()));
    }
    if adapters.is_empty() {
        print("there is no wgpu adapter");
    }
    print(&format!("\nauto takes {}", auto.description));
    auto.notes.iter().for_each(|note| print(&format!("           {note}")));
    Ok(())
}
