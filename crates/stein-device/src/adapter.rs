//! What an adapter is, and the list of those that are there.

use std::fmt;

use serde::Serialize;

use crate::request::{DeviceRequest, Selector};

/// What kind of thing an adapter is, as its driver says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AdapterKind {
    /// A graphics card with its own memory.
    Discrete,
    /// A GPU that shares the CPU's memory.
    Integrated,
    /// A GPU passed through or shared by a hypervisor.
    Virtual,
    /// A driver that doesn't say; OpenGL calls most graphics cards so.
    Other,
    /// The CPU behind a graphics API: lavapipe, llvmpipe, SwiftShader, WARP.
    Software,
}

impl AdapterKind {
    /// Every kind, in the order in which `wgpu` without a kind takes them; `Software` only when asked for.
    pub const ALL: [Self; 5] = [Self::Discrete, Self::Integrated, Self::Virtual, Self::Other, Self::Software];

    /// The name in a request: `discrete` in `wgpu:discrete`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Discrete => "discrete",
            Self::Integrated => "integrated",
            Self::Virtual => "virtual",
            Self::Other => "other",
            Self::Software => "software",
        }
    }
}

impl fmt::Display for AdapterKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A graphics API that adapters are reached through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Vulkan.
    Vulkan,
    /// Apple's Metal.
    Metal,
    /// DirectX 12.
    Dx12,
    /// OpenGL or OpenGL ES.
    Gl,
}

impl Api {
    /// The name in descriptions: `vulkan`, `metal`, `dx12`, `gl`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vulkan => "vulkan",
            Self::Metal => "metal",
            Self::Dx12 => "dx12",
            Self::Gl => "gl",
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One adapter of this machine. Displays as `NVIDIA H100 (discrete, vulkan, driver NVIDIA 550.54)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Adapter {
    /// The name that the driver gives it.
    pub name: String,
    /// What kind of thing it is.
    pub kind: AdapterKind,
    /// Its place among the adapters of its kind on its API, from 0, as burn counts.
    pub index: usize,
    /// The graphics API that it was found on.
    pub backend: Api,
    /// The driver's name; empty where the API tells none.
    pub driver: String,
    /// The driver's version, in the driver's own words; empty where the API tells none.
    pub driver_info: String,
    /// Whether it can run compute shaders at all; some OpenGL drivers can't.
    pub compute: bool,
}

impl Adapter {
    /// The request that takes this adapter, when it comes from [`adapters`].
    pub fn request(&self) -> DeviceRequest {
        DeviceRequest::Wgpu(Some(self.selector()))
    }

    /// Which of its kind it is.
    pub fn selector(&self) -> Selector {
        Selector { kind: self.kind, index: self.index }
    }

    /// Whether it is the CPU behind a graphics API.
    pub fn is_software(&self) -> bool {
        self.kind == AdapterKind::Software
    }
}

impl fmt::Display for Adapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if self.name.is_empty() { "unnamed adapter" } else { &self.name };
        write!(f, "{name} ({}, {}", self.kind, self.backend)?;
        match (self.driver.as_str(), self.driver_info.as_str()) {
            ("", "") => {}
            ("", one) | (one, "") => write!(f, ", driver {one}")?,
            (driver, info) => write!(f, ", driver {driver} {info}")?,
        }
        if !self.compute {
            write!(f, ", no compute shaders")?;
        }
        write!(f, ")")
    }
}

/// Every adapter that a `wgpu` request can reach, in burn's order. Empty where there is none, where no driver is
/// installed, and in a build without the cargo feature `wgpu`. Asked of the drivers once a process.
pub fn adapters() -> Vec<Adapter> {
    #[cfg(feature = "wgpu")]
    {
        let _gate = crate::choose::gate();
        crate::wgpu::settled()
    }
    #[cfg(not(feature = "wgpu"))]
    Vec::new()
}

/// Every adapter of one graphics API, in burn's order: what `vulkan` and `metal` requests choose from.
pub fn adapters_on(api: Api) -> Vec<Adapter> {
    #[cfg(feature = "wgpu")]
    {
        let _gate = crate::choose::gate();
        crate::wgpu::on(api)
    }
    #[cfg(not(feature = "wgpu"))]
    {
        let _ = api;
        Vec::new()
    }
}
