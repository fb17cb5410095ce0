//! `reports/bench.html`: what was measured last, each peer's median over ours as bars, and all medians as tables. One page,
//! without a script or a request, in the look of the reports.

use std::path::Path;

use super::json::Value;
use super::peers::{PEERS, Peer};
use super::spread::number;
use super::{jobs, memory, report, sampling, start_up, steps};

const OUT: &str = "reports/bench.html";
const STYLE: &str = include_str!("../../../stein-report/src/page/style.css");
/// The reports' colours, as many as are used here, and what bars want.
const OWN_STYLE: &str = "\
:root{--paper:#fff;--ink:#1b1f24;--muted:#6b7280;--muted-text:#5b626d;--grid:#e4e7eb;--train:#0072b2;--train-text:#00609a;\
--torch:#d55e00;--torch_compile:#a87000;--jax:#009e73}\
@media screen and (prefers-color-scheme:dark){:root{--paper:#14171b;--ink:#e8eaed;--muted:#9aa3af;--muted-text:#a9b1bc;\
--grid:#2b3138;--train:#56b4e9;--train-text:#7cc5ee;--torch:#f08a3c;--torch_compile:#f0c040;--jax:#2ec79b}}\
.bars{max-width:900px}.bars text{font-size:12px;fill:var(--ink);stroke:none}.bars .aside{fill:var(--muted-text)}.bars tspan{font-size:12px}\
.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .4em 0 0}.legend span{margin-right:1.4em}\
tbody th{white-space:normal}";

/// A file of measurements, and its section.
struct Section {
    file: &'static str,
    title: &'static str,
    unit: &'static str,
}

const SECTIONS: [Section; 6] = [
    Section { file: sampling::OUT, title: "Sampling", unit: "seconds" },
    Section { file: steps::OUT, title: "Training steps", unit: "milliseconds" },
    Section { file: memory::OUT, title: "Memory", unit: "MiB" },
    Section { file: start_up::OUT, title: "Start-up", unit: "seconds" },
    Section { file: report::OUT, title: "Reports", unit: "seconds" },
    Section { file: jobs::OUT, title: "Processes of a sweep", unit: "seconds" },
];

/// Writes the page of all that was measured, now or before.
pub(crate) fn write() -> Result<(), String> {
    let mut body = String::new();
    for section in SECTIONS.iter().filter(|section| Path::new(section.file).exists()) {
        let file = section.file;
        let read = std::fs::read_to_string(file).map_err(|e| e.to_string()).and_then(|text| cases(&text));
        match read {
            Ok(cases) => body.push_str(&section.html(&cases)),
            // An older version's, say: what was just measured is worth its page.
            Err(problem) => eprintln!("warning: {file}: {problem}; the page goes without it"),
        }
    }
    if body.is_empty() {
        return Err("nothing was measured yet: `cargo xtask bench` does that".into());
    }
    std::fs::write(OUT, document(&body)).map_err(|e| format!("{OUT}: {e}"))?;
    println!("a page with bars: {OUT}");
    Ok(())
}

/// A case as its file tells it.
struct Case {
    setting: String,
    name: String,
    ours: Middle,
    theirs: [Option<Middle>; PEERS.len()],
}

/// A median between its quartiles.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Middle {
    median: f64,
    quartiles: [f64; 2],
}

impl Middle {
    fn of(value: &Value) -> Option<Self> {
        let [lower, upper] = value.get("quartiles")?.list()? else { return None };
        let (median, quartiles) = (value.get("median")?.number()?, [lower.number()?, upper.number()?]);
        // A file may hold anything; a bar wants a length.
        let fine = |x: f64| x.is_finite() && x > 0.0;
        (fine(median) && quartiles.into_iter().all(fine)).then_some(Self { median, quartiles })
    }

    /// This over `own`: how it is at the quartiles that are farthest apart, too.
    fn over(self, own: Self) -> Self {
        let [lower, upper] = self.quartiles;
        Self { median: self.median / own.median, quartiles: [lower / own.quartiles[1], upper / own.quartiles[0]] }
    }

    fn text(self) -> String {
        let [lower, upper] = self.quartiles.map(number);
        format!("{} <span class=\"muted\">({lower} to {upper})</span>", number(self.median))
    }
}

fn cases(text: &str) -> Result<Vec<Case>, String> {
    let read = Value::parse(text)?;
    let list = read.list().ok_or("a list is wanted")?;
    let case = |(i, value): (usize, &Value)| {
        let field = |key: &str| value.get(key).ok_or_else(|| format!("case {}: `{key}` is not there", i + 1));
        let text = |key: &str| Ok::<_, String>(field(key)?.text().unwrap_or_default().to_owned());
        let middle = |key: &str, value: &Value| {
            let problem = || format!("case {}: `{key}` wants a median and two quartiles above 0", i + 1);
            Middle::of(value).ok_or_else(problem)
        };
        let mut theirs = [None; PEERS.len()];
        for (peer, theirs) in PEERS.iter().zip(&mut theirs) {
            *theirs = value.get(peer.key).map(|value| middle(peer.key, value)).transpose()?;
        }
        let ours = middle("stein", field("stein")?)?;
        Ok(Case { setting: text("setting")?, name: text("name")?, ours, theirs })
    };
    list.iter().enumerate().map(case).collect()
}

impl Section {
    fn html(&self, cases: &[Case]) -> String {
        let peers: Vec<usize> =
            (0..PEERS.len()).filter(|peer| cases.iter().any(|case| case.theirs[*peer].is_some())).collect();
        let (title, unit) = (self.title, self.unit);
        let bars = if peers.is_empty() { String::new() } else { figure(cases, &peers) };
        format!("<section><h2>{title}</h2>{bars}{}</section>", table(cases, &peers, unit))
    }
}

/// Cases of one setting, which stand together.
fn settings(cases: &[Case]) -> impl Iterator<Item = &[Case]> {
    cases.chunk_by(|a, b| a.setting == b.setting)
}

fn table(cases: &[Case], peers: &[usize], unit: &str) -> String {
    let names: String = peers
        .iter()
        .map(|peer| {
            format!(
                "<th scope=\"col\" class=\"number\">{}</th><th scope=\"col\" class=\"number\">ratio</th>",
                PEERS[*peer].name
            )
        })
        .collect();
    let mut rows = String::new();
    for group in settings(cases) {
        let columns = 2 + 2 * peers.len();
        let setting = escaped(&group[0].setting);
        rows.push_str("<tbody>");
        rows.push_str(&format!("<tr><th scope=\"rowgroup\" colspan=\"{columns}\" class=\"key\">{setting}</th></tr>"));
        for case in group {
            let beside = |peer: &usize| match case.theirs[*peer] {
                Some(other) => {
                    let ratio = number(other.median / case.ours.median);
                    format!("<td class=\"number\">{}</td><td class=\"number\">{ratio}</td>", other.text())
                }
                None => "<td class=\"number\">–</td><td></td>".to_owned(),
            };
            let beside: String = peers.iter().map(beside).collect();
            let (name, ours) = (escaped(&case.name), case.ours.text());
            rows.push_str(&format!("<tr><th scope=\"row\">{name}</th><td class=\"number\">{ours}</td>{beside}</tr>"));
        }
        rows.push_str("</tbody>");
    }
    format!(
        "<div class=\"scroll\"><table><thead><tr><th scope=\"col\">{unit}: median (quartiles)</th>\
         <th scope=\"col\" class=\"number\">stein</th>{names}</tr></thead>{rows}</table></div>"
    )
}

/// Widths in the drawing's units: labels, what bars have, and beyond them the numbers and names.
const LABELS: f64 = 270.0;
const BARS: f64 = 480.0;
const NUMBERS: f64 = 150.0;
/// The longest bar's ratio: one that is enormous would leave no length to the others.
const LONGEST: f64 = 6.0;
/// Heights: of a setting's line, of a bar, and between cases.
const LINE: f64 = 26.0;
const BAR: f64 = 14.0;
const GAP: f64 = 8.0;

fn figure(cases: &[Case], peers: &[usize]) -> String {
    let ratios = |case: &Case| -> Vec<(usize, Middle)> {
        peers.iter().filter_map(|peer| Some((*peer, case.theirs[*peer]?.over(case.ours)))).collect()
    };
    let shown: Vec<Middle> = cases.iter().flat_map(ratios).map(|(_, ratio)| ratio).collect();
    let largest = shown.iter().map(|ratio| ratio.median).fold(1.0, f64::max);
    let most = largest.min(LONGEST) * 1.1;
    let x = |ratio: f64| LABELS + BARS * (ratio / most).min(1.0);
    let (mut drawn, mut y) = (String::new(), 0.0);
    for group in settings(cases) {
        let with: Vec<&Case> = group.iter().filter(|case| !ratios(case).is_empty()).collect();
        let Some(first) = with.first() else { continue };
        y += LINE;
        let setting = escaped(&first.setting);
        drawn.push_str(&format!("<text x=\"0\" y=\"{:.1}\" class=\"aside\">{setting}</text>", y - 8.0));
        for case in with {
            let ratios = ratios(case);
            let middle = y + BAR * ratios.len() as f64 / 2.0 + 4.0;
            drawn.push_str(&format!("<text x=\"12\" y=\"{middle:.1}\">{}</text>", escaped(&case.name)));
            for (peer, ratio) in ratios {
                drawn.push_str(&bar(&PEERS[peer], ratio, y, x));
                y += BAR;
            }
            y += GAP;
        }
    }
    let (one, height, width) = (x(1.0), y + 22.0, LABELS + BARS + NUMBERS);
    let spoken = format!(
        "Bars of {} medians over stein's, from {} to {}; the table below has every number.",
        shown.len(),
        number(shown.iter().map(|ratio| ratio.median).fold(f64::INFINITY, f64::min)),
        number(largest),
    );
    let swatch = |peer: &usize| {
        let (name, key) = (PEERS[*peer].name, PEERS[*peer].key);
        format!("<span><i class=\"swatch\" style=\"background:var(--{key})\"></i>{name}</span>")
    };
    let cut = if largest > LONGEST { format!(" Bars longer than {LONGEST} are cut.") } else { String::new() };
    let legend: String = peers.iter().map(swatch).collect();
    format!(
        "<figure class=\"bars\"><p class=\"legend aside\">{legend}</p>\
         <svg viewBox=\"0 0 {width} {height:.1}\" role=\"img\" aria-label=\"{spoken}\">{drawn}\
         <line x1=\"{one:.1}\" y1=\"0\" x2=\"{one:.1}\" y2=\"{y:.1}\" stroke=\"var(--ink)\" stroke-dasharray=\"4 4\"/>\
         <text x=\"{one:.1}\" y=\"{:.1}\" text-anchor=\"middle\">1</text></svg>\
         <figcaption>A peer's median over stein's: past the line stein is better. Thin lines go from the peer's lower quartile \
         over stein's upper one to the opposite.{cut}</figcaption></figure>",
        y + 16.0
    )
}

/// A bar at height `y`, its quartiles, its number and whose it is.
fn bar(peer: &Peer, ratio: Middle, y: f64, x: impl Fn(f64) -> f64) -> String {
    let (left, end, middle) = (x(0.0), x(ratio.median), y + BAR / 2.0);
    let [lower, upper] = ratio.quartiles.map(&x);
    format!(
        "<rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"var(--{})\"/>\
         <line x1=\"{lower:.1}\" y1=\"{middle:.1}\" x2=\"{upper:.1}\" y2=\"{middle:.1}\" stroke=\"var(--ink)\"/>\
         <text x=\"{:.1}\" y=\"{:.1}\">{} <tspan class=\"aside\">{}</tspan></text>",
        y + 1.0,
        end - left,
        BAR - 2.0,
        peer.key,
        end.max(upper) + 6.0,
        middle + 4.0,
        number(ratio.median),
        peer.name,
    )
}

fn document(body: &str) -> String {
    let policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
    format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>What things cost · stein</title>\
         <style>{OWN_STYLE}{STYLE}</style></head><body><div class=\"page\"><p class=\"eyebrow\">stein</p>\
         <h1>What things cost</h1><p class=\"summary\">Each section is of the last time that it was measured, all programs in turn on \
         one machine.</p>{body}<footer>Written by <code>cargo xtask bench</code>. This page makes no requests and runs no \
         scripts.</footer></div></body></html>\n"
    )
}

/// Text in HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::table::Row;

    /// As `tell` writes them.
    fn file(rows: &[Row]) -> String {
        format!("[{}]", rows.iter().map(Row::json).collect::<Vec<_>>().join(","))
    }

    fn row(name: &str, ours: &[f64], jax: &[f64]) -> Row {
        let mut row = Row::new("a <setting>", name);
        (row.ours, row.theirs[2]) = (ours.to_vec(), jax.to_vec());
        row
    }

    #[test]
    fn numbers_are_medians_and_their_ratios() {
        let text = file(&[row("one", &[2.0, 4.0, 1.0], &[6.0, 5.0, 7.0]), row("two", &[3.0], &[])]);
        let html = SECTIONS[0].html(&cases(&text).unwrap());
        let jax =
            "<td class=\"number\">6.00 <span class=\"muted\">(5.00 to 7.00)</span></td><td class=\"number\">3.00</td>";
        assert!(html.contains(jax), "{html}");
        assert_eq!((html.matches("<rect").count(), html.matches("–").count()), (1, 1));
        assert!(html.contains("Bars of 1 medians over stein's, from 3.00 to 3.00"), "{html}");
        assert!(!html.contains("PyTorch"), "nobody asked it");
    }

    #[test]
    fn a_bar_is_as_long_as_its_ratio() {
        let x = |ratio: f64| 10.0 + 100.0 * ratio;
        let drawn = bar(&PEERS[2], Middle { median: 0.5, quartiles: [0.4, 0.7] }, 0.0, x);
        assert!(drawn.contains("x=\"10.0\"") && drawn.contains("width=\"50.0\""), "{drawn}");
        assert!(
            drawn.contains("x1=\"50.0\"") && drawn.contains("x2=\"80.0\"") && drawn.contains(">0.500 <tspan"),
            "{drawn}"
        );
    }

    #[test]
    fn names_are_no_markup() {
        let html = SECTIONS[0].html(&cases(&file(&[row("<b>&\"", &[1.0], &[1.0])])).unwrap());
        assert!(!html.contains("<b>") && !html.contains("<setting>"), "{html}");
        assert_eq!(html.matches("&lt;b&gt;&amp;&quot;").count(), 2, "a label and a row");
    }

    #[test]
    fn sections_without_peers_have_no_bars() {
        let html = SECTIONS[3].html(&cases(&file(&[row("one", &[1.0], &[])])).unwrap());
        assert!(html.contains("<table>") && !html.contains("<svg"));
    }

    #[test]
    fn what_is_no_measurement_is_refused() {
        let middle = |median: &str| format!("[{{\"setting\": \"\", \"name\": \"\", \"stein\": {median}}}]");
        let problem = |text: &str| cases(text).map(|cases| cases.len()).unwrap_err();
        assert!(problem("{}").contains("a list"));
        assert!(problem("[{}]").contains("case 1: `stein` is not there"));
        for wrong in
            ["{\"median\": 1}", "{\"median\": 1, \"quartiles\": [1]}", "{\"median\": 0, \"quartiles\": [1, 1]}", "1"]
        {
            assert!(problem(&middle(wrong)).contains("case 1: `stein` wants a median"), "{wrong}");
        }
    }
}
