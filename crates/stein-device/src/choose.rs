//! From a request to a device.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::Device;

use crate::adapter::Adapter;
#[cfg(feature = "wgpu")]
use crate::adapter::AdapterKind;
#[cfg(feature = "wgpu")]
use crate::adapter::Api;
use crate::error::DeviceError;
use crate::request::DeviceRequest;
#[cfg(feature = "wgpu")]
use crate::request::Selector;

/// A device, opened and ready, and what to say about it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Chosen {
    /// The device, without autodiff: training wants `chosen.device.clone().autodiff()`.
    pub device: Device,
    /// What was asked for.
    pub request: DeviceRequest,
    /// The backend: `flex`, `wgpu`, `vulkan`, `metal` or `cuda`.
    pub backend: &'static str,
    /// One line: `cpu: burn flex, 2 threads`, `wgpu: NVIDIA H100 (discrete, vulkan, driver NVIDIA 550.54)`.
    pub description: String,
    /// Whether it is a software adapter. Its timings mean nothing.
    pub software: bool,
    /// The adapter behind it, for the backends that have one.
    pub adapter: Option<Adapter>,
    /// How many threads the CPU backend works with.
    pub threads: Option<usize>,
    /// What the user should hear besides: adapters that `auto` passed over and why, tuning that couldn't be
    /// restricted. Usually empty.
    pub notes: Vec<String>,
}

/// Opens the device that `request` asks for. The crate's page says what each request means.
///
/// Call it before the first tensor, and from one place: burn's runtime configuration is fixed with its first use.
/// Asking twice for one device gives the same device.
pub fn choose(request: &DeviceRequest) -> Result<Chosen, DeviceError> {
    let _gate = gate();
    if let (false, Some(feature)) = (request.is_compiled(), request.feature()) {
        return Err(DeviceError::Feature { request: *request, feature, auto: auto_preview() });
    }
    match request {
        DeviceRequest::Auto => auto(),
        #[cfg(feature = "wgpu")]
        DeviceRequest::Wgpu(selector) => gpu(*request, None, *selector),
        #[cfg(feature = "vulkan")]
        DeviceRequest::Vulkan(selector) => gpu(*request, Some(Api::Vulkan), *selector),
        #[cfg(feature = "metal")]
        DeviceRequest::Metal(selector) => gpu(*request, Some(Api::Metal), *selector),
        #[cfg(feature = "cuda")]
        DeviceRequest::Cuda(index) => cuda(*request, *index),
        // The rest are not compiled in and were answered above.
        _ => Ok(cpu(*request, Vec::new())),
    }
}

/// Switches operation fusion off for the whole process, for the backends that fuse (all but the CPU's). Call it
/// before [`choose`] and before anything else uses burn; afterwards it is an error, unless fusion is off already.
pub fn disable_fusion() -> Result<(), DeviceError> {
    let _gate = gate();
    #[cfg(any(feature = "wgpu", feature = "cuda"))]
    if !crate::runtime::disable_fusion() {
        return Err(DeviceError::TooLate);
    }
    FUSION_DISABLED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Whether fusion was switched off in this process, by [`disable_fusion`] or for a software adapter.
pub fn fusion_disabled() -> bool {
    FUSION_DISABLED.load(Ordering::Relaxed)
}

static FUSION_DISABLED: AtomicBool = AtomicBool::new(false);

/// Held while drivers are asked or devices opened: Vulkan's loader doesn't bear instances that come and go on
/// several threads at once.
pub(crate) fn gate() -> MutexGuard<'static, ()> {
    static GATE: Mutex<()> = Mutex::new(());
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cpu(request: DeviceRequest, notes: Vec<String>) -> Chosen {
    let threads = rayon::current_num_threads();
    Chosen {
        device: Device::flex(),
        request,
        backend: "flex",
        description: cpu_description(threads),
        software: false,
        adapter: None,
        threads: Some(threads),
        notes,
    }
}

fn cpu_description(threads: usize) -> String {
    let s = if threads == 1 { "" } else { "s" };
    format!("cpu: burn flex, {threads} thread{s}")
}

/// What `auto` would take, without opening it.
fn auto_preview() -> String {
    #[cfg(feature = "wgpu")]
    if let Some(adapter) = hardware(&crate::wgpu::settled(), false).first() {
        return format!("wgpu: {adapter}");
    }
    cpu_description(rayon::current_num_threads())
}

#[cfg(not(feature = "wgpu"))]
fn auto() -> Result<Chosen, DeviceError> {
    Ok(cpu(DeviceRequest::Auto, cuda_hint()))
}

#[cfg(feature = "wgpu")]
fn auto() -> Result<Chosen, DeviceError> {
    let request = DeviceRequest::Auto;
    if environment()?.is_some() {
        return gpu(request, None, None);
    }
    let mut notes = Vec::new();
    let adapters = crate::wgpu::settled();
    for adapter in &adapters {
        if !adapter.compute && !adapter.is_software() {
            notes.push(format!("passed over {adapter}"));
        }
    }
    for adapter in hardware(&adapters, false) {
        match open(request, None, adapter) {
            Ok(mut chosen) => {
                notes.append(&mut chosen.notes);
                chosen.notes = notes;
                return Ok(chosen);
            }
            Err(error) => notes.push(format!("passed over: {error}")),
        }
    }
    notes.extend(cuda_hint());
    Ok(cpu(request, notes))
}

/// `auto` knows nothing of CUDA; a machine for computing often has it and no Vulkan.
fn cuda_hint() -> Vec<String> {
    #[cfg(feature = "cuda")]
    if crate::runtime::cuda_devices() > 0 {
        return vec!["there is a CUDA device, which \"auto\" doesn't take: ask for \"cuda\"".to_string()];
    }
    Vec::new()
}

/// The adapters to try when no kind is named, best first. `Other` may be anything, so `auto` leaves it alone.
#[cfg(feature = "wgpu")]
fn hardware(adapters: &[Adapter], with_other: bool) -> Vec<&Adapter> {
    let mut hardware: Vec<&Adapter> = adapters
        .iter()
        .filter(|adapter| adapter.compute)
        .filter(|adapter| match adapter.kind {
            AdapterKind::Discrete | AdapterKind::Integrated | AdapterKind::Virtual => true,
            AdapterKind::Other => with_other,
            AdapterKind::Software => false,
        })
        .collect();
    hardware.sort_by_key(|adapter| (adapter.kind, adapter.index));
    hardware
}

/// What `CUBECL_WGPU_DEFAULT_DEVICE` asks for.
#[cfg(feature = "wgpu")]
fn environment() -> Result<Option<Selector>, DeviceError> {
    let Some(value) = std::env::var_os("CUBECL_WGPU_DEFAULT_DEVICE") else {
        return Ok(None);
    };
    let value = value.to_string_lossy().into_owned();
    match from_environment(&value) {
        Some(selector) => Ok(Some(selector)),
        None => Err(DeviceError::Environment { value }),
    }
}

#[cfg(feature = "wgpu")]
fn from_environment(value: &str) -> Option<Selector> {
    if value == "Cpu" {
        return Some(Selector { kind: AdapterKind::Software, index: 0 });
    }
    let (name, index) = value.strip_suffix(')')?.split_once('(')?;
    let kind = match name {
        "DiscreteGpu" => AdapterKind::Discrete,
        "IntegratedGpu" => AdapterKind::Integrated,
        "VirtualGpu" => AdapterKind::Virtual,
        "Other" => AdapterKind::Other,
        _ => return None,
    };
    Some(Selector { kind, index: index.parse().ok()? })
}

#[cfg(feature = "wgpu")]
fn gpu(request: DeviceRequest, api: Option<Api>, selector: Option<Selector>) -> Result<Chosen, DeviceError> {
    let adapters = match api {
        None => crate::wgpu::settled(),
        Some(api) => crate::wgpu::on(api),
    };
    let from_environment = match selector {
        Some(_) => None,
        None => environment()?,
    };
    let selected = select(&adapters, selector.or(from_environment));
    match selected {
        Some(adapter) => open(request, api, adapter),
        None => {
            let asked_by = from_environment.and(std::env::var("CUBECL_WGPU_DEFAULT_DEVICE").ok());
            Err(DeviceError::NoAdapter {
                request,
                asked_by: asked_by.map(|value| format!("CUBECL_WGPU_DEFAULT_DEVICE={value}")),
                found: listed(api, adapters),
                auto: auto_preview(),
            })
        }
    }
}

/// The adapters with the request that takes each.
#[cfg(feature = "wgpu")]
fn listed(api: Option<Api>, adapters: Vec<Adapter>) -> Vec<(DeviceRequest, Adapter)> {
    adapters
        .into_iter()
        .map(|adapter| {
            let selector = Some(adapter.selector());
            let request = match api {
                Some(Api::Vulkan) => DeviceRequest::Vulkan(selector),
                Some(Api::Metal) => DeviceRequest::Metal(selector),
                _ => DeviceRequest::Wgpu(selector),
            };
            (request, adapter)
        })
        .collect()
}

#[cfg(feature = "wgpu")]
fn select(adapters: &[Adapter], selector: Option<Selector>) -> Option<&Adapter> {
    match selector {
        Some(selector) => adapters.iter().find(|adapter| adapter.selector() == selector),
        None => hardware(adapters, true).first().copied(),
    }
}

#[cfg(feature = "wgpu")]
fn open(request: DeviceRequest, api: Option<Api>, adapter: &Adapter) -> Result<Chosen, DeviceError> {
    if let Some(problem) = unusable(adapter) {
        return Err(DeviceError::Unusable { request, adapter: adapter.to_string(), problem });
    }
    let software = adapter.is_software();
    let mut notes = Vec::new();
    if software {
        let restricted = crate::runtime::restrict_tuning();
        if crate::runtime::disable_fusion() {
            FUSION_DISABLED.store(true, Ordering::Relaxed);
        } else {
            notes.push("burn read its configuration already: fusion stays on for the software adapter".into());
        }
        if !restricted {
            notes.push("burn was in use already: tuning for the software adapter may take minutes".into());
        }
    } else {
        crate::runtime::prepare();
    }
    let device = crate::wgpu::open(api, adapter).map_err(|problem| DeviceError::Open {
        request,
        adapter: adapter.to_string(),
        problem,
    })?;
    let backend = api.map_or("wgpu", Api::name);
    Ok(Chosen {
        device,
        request,
        backend,
        description: format!("{backend}: {adapter}"),
        software,
        adapter: Some(adapter.clone()),
        threads: None,
        notes,
    })
}

/// Why burn can't use an adapter that is there.
#[cfg(feature = "wgpu")]
fn unusable(adapter: &Adapter) -> Option<String> {
    if !adapter.compute {
        return Some("its driver can't run compute shaders".into());
    }
    if adapter.is_software() && adapter.index > 0 {
        return Some(format!(
            "burn reaches only the first software adapter on {}; hide the others' drivers, with VK_DRIVER_FILES for \
             Vulkan",
            adapter.backend
        ));
    }
    if cfg!(feature = "vulkan") && adapter.is_software() && adapter.backend == Api::Vulkan {
        return Some(
            "this build has the cargo feature \"vulkan\", whose SPIR-V shaders crash software drivers; build without it"
                .into(),
        );
    }
    None
}

#[cfg(feature = "cuda")]
fn cuda(request: DeviceRequest, index: usize) -> Result<Chosen, DeviceError> {
    let count = crate::runtime::cuda_devices();
    if index >= count {
        return Err(DeviceError::NoCuda { request, count, auto: auto_preview() });
    }
    crate::runtime::prepare();
    match crate::runtime::open_cuda(index) {
        Ok((device, name)) => Ok(Chosen {
            device,
            request,
            backend: "cuda",
            description: format!("cuda: {name} (device {index})"),
            software: false,
            adapter: None,
            threads: None,
            notes: Vec::new(),
        }),
        Err(problem) => Err(DeviceError::Open { request, adapter: format!("CUDA device {index}"), problem }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Tensor;

    #[test]
    fn the_cpu_is_always_there() {
        let chosen = choose(&DeviceRequest::Cpu).unwrap();
        assert_eq!((chosen.backend, chosen.software), ("flex", false));
        assert_eq!(chosen.device, Device::flex());
        assert!(!chosen.device.is_autodiff());
        assert_eq!(chosen.adapter, None);
        let threads = chosen.threads.unwrap();
        assert!(threads >= 1);
        assert!(chosen.description.starts_with(&format!("cpu: burn flex, {threads} thread")));
        let two = Tensor::<1>::from_data([1.0f32], &chosen.device) + 1.0;
        assert_eq!(two.into_data().try_to_vec::<f32>().unwrap(), [2.0]);
    }

    #[test]
    fn threads_are_counted_in_words() {
        assert_eq!(cpu_description(1), "cpu: burn flex, 1 thread");
        assert_eq!(cpu_description(2), "cpu: burn flex, 2 threads");
    }

    #[test]
    fn a_missing_feature_is_named() {
        for (text, feature) in [("wgpu:discrete", "wgpu"), ("vulkan", "vulkan"), ("metal", "metal"), ("cuda", "cuda")] {
            let request: DeviceRequest = text.parse().unwrap();
            if request.is_compiled() {
                continue;
            }
            let error = choose(&request).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!(
                    "device \"{text}\" needs the cargo feature \"{feature}\", and this build is without it: build with \
                     \"--features {feature}\"; \"auto\" would take "
                )),
                "{error}"
            );
        }
    }

    /// Runs one test of this binary again, in a process with `variables`.
    #[cfg(feature = "wgpu")]
    fn again(test: &str, variables: &[(&str, &str)]) -> bool {
        const CHILD: &str = "STEIN_DEVICE_TEST_CHILD";
        if std::env::var_os(CHILD).is_some() {
            return true;
        }
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", &format!("choose::tests::{test}"), "--nocapture"])
            .env(CHILD, "1")
            .env_remove("CUBECL_WGPU_DEFAULT_DEVICE")
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{text}");
        assert!(text.contains("1 passed"), "{text}");
        false
    }

    #[cfg(feature = "wgpu")]
    const NO_DRIVERS: [(&str, &str); 3] = [
        ("VK_DRIVER_FILES", "/nonexistent"),
        ("VK_ICD_FILENAMES", "/nonexistent"),
        ("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent"),
    ];

    #[cfg(all(feature = "wgpu", target_os = "linux"))]
    #[test]
    fn without_any_driver_auto_takes_the_cpu_and_the_rest_says_so() {
        if !again("without_any_driver_auto_takes_the_cpu_and_the_rest_says_so", &NO_DRIVERS) {
            return;
        }
        assert_eq!(crate::adapters(), []);
        for api in [Api::Vulkan, Api::Metal, Api::Dx12, Api::Gl] {
            assert_eq!(crate::adapters_on(api), []);
        }
        let chosen = choose(&DeviceRequest::Auto).unwrap();
        assert_eq!(chosen.backend, "flex");
        let cpu = chosen.description;
        for (text, problem) in [
            ("wgpu", "no hardware adapter"),
            ("wgpu:discrete:1", "no such adapter"),
            ("wgpu:software", "no such adapter"),
        ] {
            assert_eq!(
                choose(&text.parse().unwrap()).unwrap_err().to_string(),
                format!("device \"{text}\": {problem}; none was found; \"auto\" would take {cpu}")
            );
        }
    }

    #[cfg(all(feature = "wgpu", target_os = "linux"))]
    #[test]
    fn burns_variable_decides_for_auto() {
        let variables = [&NO_DRIVERS[..], &[("CUBECL_WGPU_DEFAULT_DEVICE", "DiscreteGpu(1)")]].concat();
        if !again("burns_variable_decides_for_auto", &variables) {
            return;
        }
        for text in ["auto", "wgpu"] {
            let error = choose(&text.parse().unwrap()).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!(
                    "device \"{text}\": CUBECL_WGPU_DEFAULT_DEVICE=DiscreteGpu(1) asks for an adapter that isn't there; \
                     none was found"
                )),
                "{error}"
            );
        }
        assert!(choose(&DeviceRequest::Cpu).is_ok());
    }

    #[cfg(all(feature = "wgpu", target_os = "linux"))]
    #[test]
    fn burns_variable_is_checked() {
        let variables = [&NO_DRIVERS[..], &[("CUBECL_WGPU_DEFAULT_DEVICE", "Gpu")]].concat();
        if !again("burns_variable_is_checked", &variables) {
            return;
        }
        assert_eq!(
            choose(&DeviceRequest::Auto).unwrap_err().to_string(),
            "the environment variable CUBECL_WGPU_DEFAULT_DEVICE is \"Gpu\"; allowed are DiscreteGpu(N), \
             IntegratedGpu(N), VirtualGpu(N), Other(N) and Cpu"
        );
    }

    #[cfg(all(feature = "wgpu", target_os = "linux"))]
    #[test]
    fn fusion_can_be_switched_off_first_only() {
        if !again("fusion_can_be_switched_off_first_only", &[]) {
            return;
        }
        assert!(!fusion_disabled());
        disable_fusion().unwrap();
        assert!(fusion_disabled());
        disable_fusion().unwrap();
        let config = burn::runtime_config();
        assert_eq!(config.fusion().beam_search.max_explorations, Some(0));
    }

    #[cfg(all(feature = "wgpu", target_os = "linux"))]
    #[test]
    fn fusion_cannot_be_switched_off_late() {
        if !again("fusion_cannot_be_switched_off_late", &[("BURN_FUSION_MAX_EXPLORATIONS", "5")]) {
            return;
        }
        let _ = burn::runtime_config();
        assert!(matches!(disable_fusion(), Err(DeviceError::TooLate)));
        assert!(!fusion_disabled());
    }

    #[cfg(feature = "wgpu")]
    fn adapter(kind: AdapterKind, index: usize) -> Adapter {
        Adapter {
            name: format!("{kind}-{index}"),
            kind,
            index,
            backend: Api::Vulkan,
            driver: "NVIDIA".into(),
            driver_info: "550.54".into(),
            compute: true,
        }
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn hardware_comes_in_order_and_software_only_when_named() {
        use AdapterKind::{Discrete, Integrated, Other, Software, Virtual};

        let mut mute = adapter(Discrete, 0);
        mute.compute = false;
        let adapters = [
            adapter(Software, 0),
            adapter(Other, 0),
            adapter(Virtual, 0),
            adapter(Integrated, 0),
            mute,
            adapter(Discrete, 1),
            adapter(Discrete, 2),
        ];
        let names = |with_other| -> Vec<String> {
            hardware(&adapters, with_other).iter().map(|adapter| adapter.selector().to_string()).collect()
        };
        assert_eq!(names(false), ["discrete:1", "discrete:2", "integrated", "virtual"]);
        assert_eq!(names(true), ["discrete:1", "discrete:2", "integrated", "virtual", "other"]);
        let named = |kind, index| select(&adapters, Some(Selector { kind, index })).map(|a| a.name.as_str());
        assert_eq!(named(Discrete, 2), Some("discrete-2"));
        assert_eq!(named(Software, 0), Some("software-0"));
        assert_eq!(named(Integrated, 1), None);
        assert_eq!(select(&adapters[..1], None), None);
        assert_eq!(unusable(&adapters[4]).unwrap(), "its driver can't run compute shaders");
        assert!(unusable(&adapter(Software, 1)).unwrap().contains("only the first software adapter"));
        assert_eq!(unusable(&adapter(Discrete, 1)), None);
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn a_missing_adapter_is_answered_with_those_that_are_there() {
        let adapters = vec![adapter(AdapterKind::Discrete, 0), adapter(AdapterKind::Software, 0)];
        let error = DeviceError::NoAdapter {
            request: "wgpu:discrete:1".parse().unwrap(),
            asked_by: None,
            found: listed(None, adapters.clone()),
            auto: format!("wgpu: {}", adapters[0]),
        };
        assert_eq!(
            error.to_string(),
            "device \"wgpu:discrete:1\": no such adapter; found \"wgpu:discrete\" = discrete-0 (discrete, vulkan, \
             driver NVIDIA 550.54), \"wgpu:software\" = software-0 (software, vulkan, driver NVIDIA 550.54); \"auto\" \
             would take wgpu: discrete-0 (discrete, vulkan, driver NVIDIA 550.54)"
        );
    }

    #[cfg(feature = "wgpu")]
    #[test]
    fn burns_own_spelling_is_read() {
        let selector = |kind, index| Some(Selector { kind, index });
        assert_eq!(from_environment("Cpu"), selector(AdapterKind::Software, 0));
        assert_eq!(from_environment("DiscreteGpu(3)"), selector(AdapterKind::Discrete, 3));
        assert_eq!(from_environment("IntegratedGpu(0)"), selector(AdapterKind::Integrated, 0));
        assert_eq!(from_environment("VirtualGpu(0)"), selector(AdapterKind::Virtual, 0));
        assert_eq!(from_environment("Other(1)"), selector(AdapterKind::Other, 1));
        for wrong in ["", "cpu", "DiscreteGpu", "DiscreteGpu()", "DiscreteGpu(-1)", "DiscreteGpu(1", "X(1)"] {
            assert_eq!(from_environment(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn cuda_errors_count_what_is_there() {
        let message =
            |count| DeviceError::NoCuda { request: DeviceRequest::Cuda(9), count, auto: "cpu".into() }.to_string();
        assert_eq!(message(0), "device \"cuda:9\": there is no CUDA device on this machine; \"auto\" would take cpu");
        assert!(message(1).contains("there is one CUDA device, \"cuda\", on this machine"));
        assert!(message(4).contains("there are 4 CUDA devices, \"cuda\" to \"cuda:3\", on this machine"));
    }
}
