//! Why a device couldn't be had.

use crate::adapter::Adapter;
use crate::request::DeviceRequest;

/// Why a device couldn't be had. All of these are matters of configuration; the message says what is there instead.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The request needs a cargo feature that this build is without.
    #[error(
        "device \"{request}\" needs the cargo feature \"{feature}\", and this build is without it: build with \
         \"--features {feature}\"; \"auto\" would take {auto}"
    )]
    Feature {
        /// What was asked for.
        request: DeviceRequest,
        /// The feature that it needs.
        feature: &'static str,
        /// What `auto` would take.
        auto: String,
    },
    /// No adapter of this machine fits the request.
    #[error("device \"{request}\": {}; \"auto\" would take {auto}", no_adapter(request, asked_by, found))]
    NoAdapter {
        /// What was asked for.
        request: DeviceRequest,
        /// The environment variable's setting that asked for it, if that did.
        asked_by: Option<String>,
        /// Those that are there, each with the request that takes it.
        found: Vec<(DeviceRequest, Adapter)>,
        /// What `auto` would take.
        auto: String,
    },
    /// There is no such CUDA device.
    #[error(
        "device \"{request}\": there {} on this machine; \"auto\" would take {auto}",
        match count { 0 => "is no CUDA device".to_string(), 1 => "is one CUDA device, \"cuda\",".to_string(),
            n => format!("are {n} CUDA devices, \"cuda\" to \"cuda:{}\",", n - 1) }
    )]
    NoCuda {
        /// What was asked for.
        request: DeviceRequest,
        /// How many there are.
        count: usize,
        /// What `auto` would take.
        auto: String,
    },
    /// The adapter is there, but burn can't use it.
    #[error("device \"{request}\": {adapter} can't be used: {problem}")]
    Unusable {
        /// What was asked for.
        request: DeviceRequest,
        /// The adapter, in one line.
        adapter: String,
        /// Why not, and what helps.
        problem: String,
    },
    /// The driver or burn refused to open the device.
    #[error("device \"{request}\": {adapter} can't be opened: {problem}")]
    Open {
        /// What was asked for.
        request: DeviceRequest,
        /// The adapter, in one line.
        adapter: String,
        /// What the driver said.
        problem: String,
    },
    /// `CUBECL_WGPU_DEFAULT_DEVICE` holds something that burn doesn't know.
    #[error(
        "the environment variable CUBECL_WGPU_DEFAULT_DEVICE is {value:?}; allowed are DiscreteGpu(N), \
         IntegratedGpu(N), VirtualGpu(N), Other(N) and Cpu"
    )]
    Environment {
        /// What it holds.
        value: String,
    },
    /// burn's runtime configuration was read before it could be changed.
    #[error(
        "fusion can't be switched off any more: burn read its configuration already; call disable_fusion() before \
         anything else uses burn, or set BURN_FUSION_MAX_EXPLORATIONS=0"
    )]
    TooLate,
}

fn no_adapter(request: &DeviceRequest, asked_by: &Option<String>, found: &[(DeviceRequest, Adapter)]) -> String {
    let missing = match request {
        DeviceRequest::Wgpu(Some(_)) | DeviceRequest::Vulkan(Some(_)) | DeviceRequest::Metal(Some(_)) => {
            "no such adapter".to_string()
        }
        _ => "no hardware adapter".to_string(),
    };
    let missing = match asked_by {
        Some(asked_by) => format!("{asked_by} asks for an adapter that isn't there"),
        None => missing,
    };
    if found.is_empty() {
        return format!("{missing}; none was found");
    }
    let each: Vec<String> = found.iter().map(|(request, adapter)| format!("\"{request}\" = {adapter}")).collect();
    format!("{missing}; found {}", each.join(", "))
}
