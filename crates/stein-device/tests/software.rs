//! On a real software adapter, where there is one (Debian's mesa-vulkan-drivers): the same values as the CPU
//! backend, within seconds. One test, since burn's configuration is one a process.

#![cfg(feature = "wgpu")]

#[path = "../../../tests/needs.rs"]
mod needs;

use std::time::Instant;

use burn::tensor::{Device, DeviceType, Tensor, activation};
use stein_device::{AdapterKind, DeviceRequest, adapters, choose, fusion_disabled};

/// A matrix product, a broadcast, elementwise work and a reduction.
fn values(device: &Device) -> Vec<f32> {
    let ramp = |rows: usize, columns: usize| {
        let data: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        Tensor::<1>::from_floats(data.as_slice(), device).reshape([rows, columns])
    };
    let product = ramp(5, 7).matmul(ramp(7, 3));
    let bent = activation::silu(product * 0.5 + ramp(1, 3));
    let sums = bent.clone().sum_dim(1);
    Tensor::cat(vec![bent, sums], 1).into_data().try_to_vec().unwrap()
}

#[test]
fn a_software_adapter_computes_what_flex_computes() {
    let adapters = adapters();
    for adapter in &adapters {
        println!("{:<20} {adapter}", adapter.request().to_string());
    }
    // burn's own list, which has ids only.
    assert_eq!(adapters.len(), Device::enumerate(DeviceType::Wgpu).iter().count());

    let software = adapters.iter().any(|adapter| adapter.kind == AdapterKind::Software);
    if !software {
        return needs::leave_out("adapter", "there is no software adapter");
    }
    if cfg!(feature = "vulkan") {
        let error = choose(&"wgpu:software".parse().unwrap()).unwrap_err().to_string();
        assert!(error.contains("SPIR-V"), "{error}");
        return needs::leave_out(
            "no feature vulkan",
            "no software adapter can be used with the cargo feature \"vulkan\"",
        );
    }

    // Never unasked.
    if adapters.iter().all(|adapter| adapter.kind == AdapterKind::Software) {
        let auto = choose(&DeviceRequest::Auto).unwrap();
        assert_eq!(auto.backend, "flex");
        println!("auto: {}", auto.description);
        let error = choose(&DeviceRequest::Wgpu(None)).unwrap_err().to_string();
        println!("{error}");
        assert!(error.contains("no hardware adapter; found \"wgpu:software\" = "), "{error}");
        assert!(error.contains("\"auto\" would take cpu: burn flex"), "{error}");
    }
    let error = choose(&"wgpu:discrete:77".parse().unwrap()).unwrap_err().to_string();
    assert!(error.contains("no such adapter; found"), "{error}");

    let start = Instant::now();
    let chosen = choose(&"wgpu:software".parse().unwrap()).unwrap();
    println!("{} (opened in {:.1} s)", chosen.description, start.elapsed().as_secs_f64());
    assert!(chosen.software && !chosen.device.is_autodiff());
    assert_eq!((chosen.backend, chosen.notes.len()), ("wgpu", 0));
    assert!(fusion_disabled());

    let expected = values(&choose(&DeviceRequest::Cpu).unwrap().device);
    let given = values(&chosen.device);
    println!("first values after {:.1} s", start.elapsed().as_secs_f64());
    assert_eq!(expected.len(), 20);
    for (i, (expected, given)) in expected.iter().zip(&given).enumerate() {
        assert!((expected - given).abs() < 1e-5, "value {i}: flex {expected}, wgpu {given}");
    }

    // A second request for the same device is the same device.
    let twice = choose(&"wgpu:software:0".parse().unwrap()).unwrap();
    assert_eq!(twice.device, chosen.device);
    assert!(twice.notes.is_empty());
}
