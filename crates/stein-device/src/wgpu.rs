//! Asking wgpu, the way burn's runtime (cubecl-wgpu 0.11) does when it selects an adapter.
//!
//! burn gives out ids without names, so the adapters are listed here a second time: one instance for each graphics
//! API, the first API with anything but software, and one counter for each kind of adapter.

use std::sync::{Mutex, PoisonError};

use burn::backend::WgpuDeviceKind;
use burn::backend::wgpu::graphics::AutoGraphicsApi;
use burn::backend::wgpu::{RuntimeOptions, WgpuBackend, WgpuDevice, WgpuInitError, try_init_setup, wgpu};
use burn::tensor::Device;

use crate::adapter::{Adapter, AdapterKind, Api};
use crate::runtime::guarded;

/// The APIs that burn tries, best first.
#[cfg(target_os = "macos")]
const CHAIN: [Api; 1] = [Api::Metal];
#[cfg(not(target_os = "macos"))]
const CHAIN: [Api; 3] = [Api::Vulkan, Api::Dx12, Api::Gl];

/// The adapters of the API that burn settles on: the first with a hardware adapter, or else the first with any.
pub(crate) fn settled() -> Vec<Adapter> {
    let mut software_only = Vec::new();
    for api in CHAIN {
        let adapters = on(api);
        if adapters.iter().any(|adapter| !adapter.is_software()) {
            return adapters;
        }
        if software_only.is_empty() {
            software_only = adapters;
        }
    }
    software_only
}

/// The adapters of one API. Asked once a process: opening an API takes tens of milliseconds, and what it answered
/// stays what the messages say.
pub(crate) fn on(api: Api) -> Vec<Adapter> {
    static KNOWN: Mutex<Vec<(Api, Vec<Adapter>)>> = Mutex::new(Vec::new());

    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, adapters)) = known.iter().find(|(known, _)| *known == api) {
        return adapters.clone();
    }
    let adapters = guarded(|| probe(api)).unwrap_or_default();
    known.push((api, adapters.clone()));
    adapters
}

fn probe(api: Api) -> Vec<Adapter> {
    let backends: wgpu::Backends = match api {
        Api::Vulkan => wgpu::Backends::VULKAN,
        Api::Metal => wgpu::Backends::METAL,
        Api::Dx12 => wgpu::Backends::DX12,
        Api::Gl => wgpu::Backends::GL,
    };
    if !wgpu::Instance::enabled_backend_features().contains(backends) {
        return Vec::new();
    }
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let found = burn::cubecl::future::block_on(instance.enumerate_adapters(backends));
    let mut adapters: Vec<Adapter> = Vec::new();
    for adapter in found {
        let info = adapter.get_info();
        let kind = match info.device_type {
            wgpu::DeviceType::DiscreteGpu => AdapterKind::Discrete,
            wgpu::DeviceType::IntegratedGpu => AdapterKind::Integrated,
            wgpu::DeviceType::VirtualGpu => AdapterKind::Virtual,
            wgpu::DeviceType::Cpu => AdapterKind::Software,
            wgpu::DeviceType::Other => AdapterKind::Other,
        };
        let limits = adapter.limits();
        let index = adapters.iter().filter(|adapter| adapter.kind == kind).count();
        adapters.push(Adapter {
            name: info.name.trim().to_string(),
            kind,
            index,
            backend: api,
            driver: info.driver.trim().to_string(),
            driver_info: info.driver_info.trim().to_string(),
            // What burn itself demands of a device that is handed to it.
            compute: limits.max_compute_invocations_per_workgroup > 0
                && limits.max_storage_buffers_per_shader_stage >= 2,
        });
    }
    adapters
}

/// Opens an adapter, pinned to `api` if one is given. The second time the same device is given again.
pub(crate) fn open(api: Option<Api>, adapter: &Adapter) -> Result<Device, String> {
    static OPENED: Mutex<Vec<WgpuDevice>> = Mutex::new(Vec::new());

    let kind = match adapter.kind {
        AdapterKind::Discrete => WgpuDeviceKind::DiscreteGpu(adapter.index),
        AdapterKind::Integrated => WgpuDeviceKind::IntegratedGpu(adapter.index),
        AdapterKind::Virtual => WgpuDeviceKind::VirtualGpu(adapter.index),
        AdapterKind::Other => WgpuDeviceKind::Other(adapter.index),
        AdapterKind::Software => WgpuDeviceKind::Cpu,
    };
    let device = WgpuDevice::new(kind).on(match api {
        None => WgpuBackend::Auto,
        Some(Api::Vulkan) => WgpuBackend::Vulkan,
        Some(Api::Metal) => WgpuBackend::Metal,
        Some(Api::Dx12) => WgpuBackend::Dx12,
        Some(Api::Gl) => WgpuBackend::Gl,
    });
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if opened.contains(&device) {
        return Ok(Device::new(device));
    }
    let options = RuntimeOptions::try_default().map_err(|error| error.to_string())?;
    match guarded(|| try_init_setup::<AutoGraphicsApi>(&device, options))? {
        Ok(setup) => {
            let info = setup.adapter.get_info();
            if info.name.trim() != adapter.name {
                return Err(format!("burn opened \"{}\" in its place", info.name.trim()));
            }
        }
        // Somebody used the device before it was chosen. It is open, then.
        Err(WgpuInitError::Registration { .. }) => {}
        Err(error) => return Err(error.to_string()),
    }
    opened.push(device.clone());
    Ok(Device::new(device))
}
