//! What a user asks for, as text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::adapter::AdapterKind;

/// The device that an experiment, or a command line, asks for. Text on the outside: `auto`, `cpu`,
/// `wgpu:discrete:1`. Parsing doesn't depend on the build or on the machine: an experiment that asks for `cuda` can
/// be read everywhere, and [`choose`](crate::choose) says where it can't run.
///
/// Displays in its shortest form (`wgpu:discrete:0` as `wgpu:discrete`), so one device has one spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum DeviceRequest {
    /// A hardware adapter when there is one, else the CPU.
    #[default]
    Auto,
    /// burn's pure-Rust CPU backend, flex.
    Cpu,
    /// An adapter on the graphics API that burn settles on; without a selector the best hardware adapter.
    Wgpu(Option<Selector>),
    /// An adapter on Vulkan, with SPIR-V shaders.
    Vulkan(Option<Selector>),
    /// An adapter on Metal, with MSL shaders.
    Metal(Option<Selector>),
    /// The CUDA device of that index.
    Cuda(usize),
}

/// An adapter within a graphics API: its kind, and its place among those of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Selector {
    /// The kind of adapter.
    pub kind: AdapterKind,
    /// Counted from 0 within the kind.
    pub index: usize,
}

const FORMS: &str = "auto, cpu, wgpu, vulkan, metal, cuda; wgpu, vulkan and metal may name a kind (discrete, \
     integrated, virtual, other, software) and a number, as in \"wgpu:discrete:1\", and cuda a number, as in \"cuda:1\"";

const BACKENDS: [&str; 6] = ["auto", "cpu", "wgpu", "vulkan", "metal", "cuda"];

/// Names that people try, and what they are here.
const SYNONYMS: [(&str, &str); 22] = [
    ("automatic", "auto"),
    ("default", "auto"),
    ("flex", "cpu"),
    ("ndarray", "cpu"),
    ("host", "cpu"),
    ("gpu", "wgpu"),
    ("webgpu", "wgpu"),
    ("gl", "wgpu"),
    ("opengl", "wgpu"),
    ("dx12", "wgpu"),
    ("discrete", "wgpu:discrete"),
    ("integrated", "wgpu:integrated"),
    ("virtual", "wgpu:virtual"),
    ("software", "wgpu:software"),
    ("lavapipe", "wgpu:software"),
    ("llvmpipe", "wgpu:software"),
    ("swiftshader", "wgpu:software"),
    ("warp", "wgpu:software"),
    ("nvidia", "cuda"),
    ("mps", "metal"),
    ("vk", "vulkan"),
    ("spirv", "vulkan"),
];

const KIND_SYNONYMS: [(&str, &str); 8] = [
    ("dedicated", "discrete"),
    ("igpu", "integrated"),
    ("dgpu", "discrete"),
    ("cpu", "software"),
    ("lavapipe", "software"),
    ("llvmpipe", "software"),
    ("hardware", "discrete"),
    ("gpu", "discrete"),
];

impl DeviceRequest {
    /// The cargo feature that this request needs, if any.
    pub fn feature(&self) -> Option<&'static str> {
        match self {
            Self::Auto | Self::Cpu => None,
            Self::Wgpu(_) => Some("wgpu"),
            Self::Vulkan(_) => Some("vulkan"),
            Self::Metal(_) => Some("metal"),
            Self::Cuda(_) => Some("cuda"),
        }
    }

    /// Whether this build can serve the request, on a machine that has the device.
    pub fn is_compiled(&self) -> bool {
        match self {
            Self::Auto | Self::Cpu => true,
            Self::Wgpu(_) => cfg!(feature = "wgpu"),
            Self::Vulkan(_) => cfg!(feature = "vulkan"),
            Self::Metal(_) => cfg!(feature = "metal"),
            Self::Cuda(_) => cfg!(feature = "cuda"),
        }
    }
}

impl fmt::Display for DeviceRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Auto => "auto".into(),
            Self::Cpu => "cpu".into(),
            Self::Wgpu(None) => "wgpu".into(),
            Self::Vulkan(None) => "vulkan".into(),
            Self::Metal(None) => "metal".into(),
            Self::Wgpu(Some(selector)) => format!("wgpu:{selector}"),
            Self::Vulkan(Some(selector)) => format!("vulkan:{selector}"),
            Self::Metal(Some(selector)) => format!("metal:{selector}"),
            Self::Cuda(0) => "cuda".into(),
            Self::Cuda(index) => format!("cuda:{index}"),
        };
        f.pad(&text)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            0 => write!(f, "{}", self.kind),
            index => write!(f, "{}:{index}", self.kind),
        }
    }
}

impl From<DeviceRequest> for String {
    fn from(request: DeviceRequest) -> Self {
        request.to_string()
    }
}

impl TryFrom<String> for DeviceRequest {
    type Error = ParseRequestError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl FromStr for DeviceRequest {
    type Err = ParseRequestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error =
            |problem: String, nearest: Option<String>| ParseRequestError { value: text.to_string(), problem, nearest };
        let parts: Vec<&str> = text.split(':').collect();
        let (head, rest) = (parts[0], &parts[1..]);

        if !BACKENDS.contains(&head) {
            let nearest = nearest(head, &BACKENDS, &SYNONYMS).map(|head| {
                // The rest is kept where it makes a whole.
                let whole = parts_with(head, rest);
                if whole.parse::<Self>().is_ok() { whole } else { head.to_string() }
            });
            return Err(error("unknown device".into(), nearest));
        }
        match head {
            "auto" | "cpu" if rest.is_empty() => Ok(if head == "auto" { Self::Auto } else { Self::Cpu }),
            "auto" | "cpu" => Err(error(format!("\"{head}\" takes nothing after it"), Some(head.to_string()))),
            "cuda" => match rest {
                [] => Ok(Self::Cuda(0)),
                [index] => match parse_index(index) {
                    Ok(index) => Ok(Self::Cuda(index)),
                    Err(problem) => Err(error(problem, Some("cuda".into()))),
                },
                _ => Err(error("\"cuda\" takes one number".into(), Some("cuda".into()))),
            },
            _ => {
                let selector = match rest {
                    [] => None,
                    [kind, index @ ..] => {
                        let Some(kind) = AdapterKind::ALL.into_iter().find(|k| k.name() == *kind) else {
                            let suggestion = if parse_index(kind).is_ok() && index.is_empty() {
                                Some(format!("{head}:discrete:{kind}"))
                            } else {
                                nearest(kind, &AdapterKind::ALL.map(AdapterKind::name), &KIND_SYNONYMS)
                                    .map(|kind| parts_with(head, &[&[kind], index].concat()))
                                    .filter(|whole| whole.parse::<Self>().is_ok())
                            };
                            return Err(error(format!("unknown adapter kind \"{kind}\""), suggestion));
                        };
                        let index = match index {
                            [] => 0,
                            [index] => {
                                parse_index(index).map_err(|problem| error(problem, Some(format!("{head}:{kind}"))))?
                            }
                            _ => {
                                return Err(error("too many parts".into(), Some(format!("{head}:{kind}"))));
                            }
                        };
                        Some(Selector { kind, index })
                    }
                };
                Ok(match head {
                    "vulkan" => Self::Vulkan(selector),
                    "metal" => Self::Metal(selector),
                    _ => Self::Wgpu(selector),
                })
            }
        }
    }
}

fn parts_with(head: &str, rest: &[&str]) -> String {
    let mut parts = vec![head];
    parts.extend(rest);
    parts.join(":")
}

fn parse_index(text: &str) -> Result<usize, String> {
    Some(text)
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| format!("\"{text}\" is not a whole number, counted from 0"))
}

/// The nearest of `names`, if any is near enough to be meant.
fn nearest<'a>(given: &str, names: &[&'a str], synonyms: &[(&str, &'a str)]) -> Option<&'a str> {
    let given = given.trim().to_lowercase();
    if let Some((_, name)) = synonyms.iter().find(|(synonym, _)| *synonym == given) {
        return Some(name);
    }
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&given, name), *name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// A device request that can't be read. Says what is wrong, what is allowed, and the nearest request that is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseRequestError {
    value: String,
    problem: String,
    nearest: Option<String>,
}

impl ParseRequestError {
    /// The text that was given.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What is wrong with it, a few words without the text itself: `unknown device`.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What is allowed, in words.
    pub fn allowed(&self) -> &'static str {
        FORMS
    }

    /// The nearest request that can be read, if one is near enough to be meant.
    pub fn nearest(&self) -> Option<&str> {
        self.nearest.as_deref()
    }
}

impl fmt::Display for ParseRequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device {:?}: {}", self.value, self.problem)?;
        if let Some(nearest) = &self.nearest {
            write!(f, "; did you mean {nearest:?}?")?;
        }
        write!(f, " (allowed: {FORMS})")
    }
}

impl std::error::Error for ParseRequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn selector(kind: AdapterKind, index: usize) -> Option<Selector> {
        Some(Selector { kind, index })
    }

    #[test]
    fn every_form_is_read_and_written_back() {
        use AdapterKind::{Discrete, Integrated, Other, Software, Virtual};
        for (text, request) in [
            ("auto", DeviceRequest::Auto),
            ("cpu", DeviceRequest::Cpu),
            ("wgpu", DeviceRequest::Wgpu(None)),
            ("wgpu:discrete", DeviceRequest::Wgpu(selector(Discrete, 0))),
            ("wgpu:discrete:1", DeviceRequest::Wgpu(selector(Discrete, 1))),
            ("wgpu:integrated:2", DeviceRequest::Wgpu(selector(Integrated, 2))),
            ("wgpu:virtual", DeviceRequest::Wgpu(selector(Virtual, 0))),
            ("wgpu:other", DeviceRequest::Wgpu(selector(Other, 0))),
            ("wgpu:software", DeviceRequest::Wgpu(selector(Software, 0))),
            ("vulkan", DeviceRequest::Vulkan(None)),
            ("vulkan:software:3", DeviceRequest::Vulkan(selector(Software, 3))),
            ("metal:integrated", DeviceRequest::Metal(selector(Integrated, 0))),
            ("cuda", DeviceRequest::Cuda(0)),
            ("cuda:7", DeviceRequest::Cuda(7)),
        ] {
            assert_eq!(text.parse(), Ok(request));
            assert_eq!(request.to_string(), text);
        }
        for (long, short) in [("wgpu:discrete:0", "wgpu:discrete"), ("cuda:0", "cuda"), ("cuda:01", "cuda:1")] {
            assert_eq!(long.parse::<DeviceRequest>().unwrap().to_string(), short);
        }
        assert_eq!(DeviceRequest::default(), DeviceRequest::Auto);
    }

    #[test]
    fn mistakes_are_named_and_the_nearest_is_offered() {
        for (text, problem, nearest) in [
            ("gpu", "unknown device", Some("wgpu")),
            ("CPU", "unknown device", Some("cpu")),
            ("atuo", "unknown device", Some("auto")),
            (" cpu", "unknown device", Some("cpu")),
            ("vulcan:discrete:1", "unknown device", Some("vulkan:discrete:1")),
            ("cdua:1", "unknown device", Some("cuda:1")),
            ("flex", "unknown device", Some("cpu")),
            ("lavapipe", "unknown device", Some("wgpu:software")),
            ("discrete:1", "unknown device", Some("wgpu:discrete:1")),
            ("quantum", "unknown device", None),
            ("", "unknown device", None),
            ("cpu:0", "\"cpu\" takes nothing after it", Some("cpu")),
            ("auto:", "\"auto\" takes nothing after it", Some("auto")),
            ("cuda:x", "\"x\" is not a whole number, counted from 0", Some("cuda")),
            ("cuda:+1", "\"+1\" is not a whole number, counted from 0", Some("cuda")),
            ("cuda:1:2", "\"cuda\" takes one number", Some("cuda")),
            ("wgpu:discreet", "unknown adapter kind \"discreet\"", Some("wgpu:discrete")),
            ("wgpu:dgpu:1", "unknown adapter kind \"dgpu\"", Some("wgpu:discrete:1")),
            ("wgpu:1", "unknown adapter kind \"1\"", Some("wgpu:discrete:1")),
            ("wgpu:", "unknown adapter kind \"\"", None),
            ("wgpu:discrete:-1", "\"-1\" is not a whole number, counted from 0", Some("wgpu:discrete")),
            (
                "wgpu:discrete:99999999999999999999999",
                "\"99999999999999999999999\" is not a whole number, counted from 0",
                Some("wgpu:discrete"),
            ),
            ("wgpu:discrete:", "\"\" is not a whole number, counted from 0", Some("wgpu:discrete")),
            ("metal:discrete:1:2", "too many parts", Some("metal:discrete")),
        ] {
            let error = text.parse::<DeviceRequest>().unwrap_err();
            assert_eq!((error.problem(), error.nearest()), (problem, nearest), "{text:?}");
            assert_eq!(error.value(), text);
            let message = error.to_string();
            assert!(message.contains(&format!("{text:?}")) && message.contains("allowed: auto, cpu, wgpu"));
        }
        assert_eq!(
            "gpu".parse::<DeviceRequest>().unwrap_err().to_string(),
            "device \"gpu\": unknown device; did you mean \"wgpu\"? (allowed: auto, cpu, wgpu, vulkan, metal, cuda; \
             wgpu, vulkan and metal may name a kind (discrete, integrated, virtual, other, software) and a number, as \
             in \"wgpu:discrete:1\", and cuda a number, as in \"cuda:1\")"
        );
    }

    #[test]
    fn synonyms_lead_to_requests_that_can_be_read() {
        for (synonym, name) in SYNONYMS {
            assert!(synonym.parse::<DeviceRequest>().is_err(), "{synonym}");
            assert!(name.parse::<DeviceRequest>().is_ok(), "{name}");
        }
        for (_, name) in KIND_SYNONYMS {
            assert!(format!("wgpu:{name}").parse::<DeviceRequest>().is_ok(), "{name}");
        }
    }

    #[test]
    fn no_text_panics() {
        for text in ["::::", ":", "wgpu::", "wgpu::1", "ß:ß", "\u{0}", "🦀:discrete", "cuda:١"] {
            assert!(text.parse::<DeviceRequest>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn toml_reads_and_writes_it_as_text() {
        #[derive(Debug, Serialize, Deserialize)]
        struct Table {
            device: DeviceRequest,
        }
        let table: Table = toml::from_str("device = \"wgpu:discrete:1\"").unwrap();
        assert_eq!(toml::to_string(&table).unwrap(), "device = \"wgpu:discrete:1\"\n");
        let error = toml::from_str::<Table>("device = \"gpu\"").unwrap_err().to_string();
        assert!(error.contains("did you mean \"wgpu\"?"), "{error}");
    }
}
