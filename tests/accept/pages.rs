//! Report pages in a real browser: what a reader, a keyboard, a printer and a hostile name find there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::{Value, json};

use crate::chromium::{self, Browser};

/// In the plane, seconds for all cells: half of them diverge, and names try to be more than text.
const SWEEP: &str = r#"
[data]
kind = "gaussian-mixture"
means = [[-2.0, 0.0], [2.0, 0.0]]
std = 0.5
train = 400
held-out = 200
[network]
kind = "mlp"
hidden = [32, 32]
[schedule]
levels = 5
[training]
steps = 40
batch-size = 64
log-every = 20
[evaluation]
samples = 100
level-rows = 100
trajectories = 10
frames = 5
metrics = ["fisher-divergence", "mode-weights", "energy-distance"]
[sweep]
objective = [
  { name = "<script>alert(1)</script>", kind = "sliced" },
  { name = "\"'&amp;</style><img src=x onerror=alert(2)>", kind = "denoising" },
  { name = "right\u202Eto left", kind = "implicit" },
  { name = "a.word.of.as.many.letters.as.a.name.may.have.and.not.a.space", kind = "explicit" },
]
training = [
  { name = "wild", clip = 0.0, optimizer = { learning-rate = 1e30 } },
  { name = "tame" },
]
seed = [2, 10]
"#;

const PLANE: &str = r#"
[data]
kind = "gaussian-mixture"
means = [[-2.0, 0.0], [2.0, 0.0]]
std = 0.5
[network]
kind = "mlp"
[training]
steps = 60
[evaluation]
samples = 100
"#;

const IMAGES: &str = r#"
[data]
kind = "digits"
[network]
kind = "unet"
channels = 8
groups = 4
multipliers = [1, 2, 3]
[schedule]
sigma-max = 4.0
sigma-min = 0.1
levels = 4
[training]
steps = 30
batch-size = 32
[sampler]
kind = "dpm-solver-pp-2m"
[evaluation]
samples = 60
level-rows = 40
"#;

/// How the first three objectives are shown.
const HOSTILE: [&str; 3] =
    ["<script>alert(1)</script>", "\"'&amp;</style><img src=x onerror=alert(2)>", "right\\u{202e}to left"];

fn stein(folder: &Path, arguments: &[&str]) -> Option<i32> {
    let output = crate::stein(folder, arguments).output().expect("stein starts");
    println!("{}", String::from_utf8_lossy(&output.stderr));
    output.status.code()
}

/// Runs of all kinds, and their pages.
fn reports() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text, code) in [("sweep", SWEEP, 1), ("plane", PLANE, 0), ("images", IMAGES, 0)] {
        let file = format!("{name}.toml");
        std::fs::write(folder.path().join(&file), text).expect("written");
        assert_eq!(stein(folder.path(), &["run", &file, "--quiet", "--set", "device=cpu"]), Some(code), "{name}");
    }
    let compared = ["compare", "runs/sweep", "runs/plane", "--out", "reports/compared.html"];
    assert_eq!(stein(folder.path(), &compared), Some(0));
    folder
}

/// Every page under a folder.
fn pages(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(pages(&path));
        } else if path.extension().is_some_and(|e| e == "html") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn address(page: &Path) -> String {
    format!("file://{}", page.display())
}

fn sentences(list: &Value) -> Vec<String> {
    list.as_array().expect("a list").iter().map(|fault| fault.as_str().expect("a sentence").to_owned()).collect()
}

/// Everything that is wrong with a page, narrow and wide, light and dark, by keyboard and in print.
fn faults(browser: &mut Browser, page: &Path) -> BTreeSet<String> {
    let mut faults = BTreeSet::new();
    for (width, dark) in [(375, false), (375, true), (1280, false), (1280, true)] {
        browser.look(width, "screen", dark);
        browser.open(&address(page));
        faults.extend(sentences(&browser.evaluate(include_str!("probe.js"))));
        if !dark {
            faults.extend(keyboard(browser));
        }
        faults.extend(noises(browser, page));
    }
    faults.extend(dead_links(browser));
    // A4 between its margins; tables of many columns are printed across.
    let across = browser.evaluate("!!document.querySelector('.wide')") == true;
    browser.look(if across { 1046 } else { 718 }, "print", false);
    faults.extend(sentences(&browser.evaluate(CUT)));
    faults
}

/// What is cut off on paper, which cannot be scrolled.
const CUT: &str = "[document.documentElement, ...document.querySelectorAll('.scroll, .panels, pre')]
    .filter(e => e.scrollWidth > e.clientWidth + 1)
    .map(e => `cut: ${e.scrollWidth} px in ${e.clientWidth} on paper of <${e.tagName} class='${e.className}'>`)";

/// What the browser says, and whom it asks for something.
fn noises(browser: &Browser, page: &Path) -> Vec<String> {
    let own = address(page);
    let is_bad = |level: &Value| ["error", "warning", "assert"].contains(&level.as_str().unwrap_or_default());
    let noise = |(method, about): (&str, &Value)| match method {
        "Runtime.exceptionThrown" => Some(format!("exception: {}", about["exceptionDetails"])),
        "Runtime.consoleAPICalled" if is_bad(&about["type"]) => Some(format!("console: {}", about["args"])),
        "Log.entryAdded" if is_bad(&about["entry"]["level"]) => Some(format!("log: {}", about["entry"]["text"])),
        "Page.javascriptDialogOpening" => Some(format!("dialog: {}", about["message"])),
        "Network.requestWillBeSent" => {
            let asked = about["request"]["url"].as_str().unwrap_or_default();
            (asked != own && !asked.starts_with("data:")).then(|| format!("request: {asked}"))
        }
        _ => None,
    };
    browser.events().filter_map(noise).collect()
}

/// What the tabulator key does not reach, or reaches without showing it.
fn keyboard(browser: &mut Browser) -> Vec<String> {
    let wanted = browser.evaluate(
        "(() => {
            const name = e => `<${e.tagName.toLowerCase()} class='${e.className}'> ${e.textContent.trim().slice(0, 40)}`;
            const scrolls = e => e.scrollWidth > e.clientWidth + 1 && /auto|scroll/.test(getComputedStyle(e).overflowX);
            const all = [...document.body.querySelectorAll('*')].filter(e => e.checkVisibility());
            const wanted = new Set(all.filter(e => e.matches('a[href], button, input, summary, [tabindex]')));
            const faults = all.filter(e => scrolls(e) && !e.hasAttribute('tabindex'))
                .map(e => `keyboard: ${name(e)} scrolls, but not everywhere by keyboard`);
            addEventListener('focusin', ({ target }) => {
                wanted.delete(target);
                const ring = getComputedStyle(target);
                if (ring.outlineStyle === 'none' || ring.outlineWidth === '0px')
                    faults.push(`keyboard: ${name(target)} does not show that it has the focus`);
            });
            globalThis.unreached = () => faults.concat([...wanted].map(e => `keyboard: ${name(e)} is not reached`));
            return wanted.size;
        })()",
    );
    for _ in 0..wanted.as_u64().expect("a number") + 2 {
        browser.press("Tab");
    }
    sentences(&browser.evaluate("unreached()"))
}

/// Links to files that are not there.
fn dead_links(browser: &mut Browser) -> Vec<String> {
    let links = browser.evaluate("[...document.querySelectorAll('a[href]')].map(a => decodeURI(a.href.split('#')[0]))");
    let dead = |link: &String| !link.strip_prefix("file://").is_some_and(|path| Path::new(path).is_file());
    sentences(&links).into_iter().filter(dead).map(|link| format!("link: {link}")).collect()
}

/// A page's column, from the top: what its cells hold for a program, or what they show.
fn column(browser: &mut Browser, table: &str, column: u64, numeric: bool) -> Vec<Option<String>> {
    let held = if numeric { "cell.dataset.value" } else { "cell.textContent.trim()" };
    let values = browser.evaluate(&format!(
        "[...document.querySelector('{table}').tBodies[0].rows].map(row => row.cells[{column}]).map(cell => {held} ?? null)"
    ));
    values.as_array().expect("a column").iter().map(|v| v.as_str().map(str::to_owned)).collect()
}

/// What is wrong with sorting a table by its columns of numbers, by mouse and by keyboard, and with its filter.
fn sorting_faults(browser: &mut Browser, table: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let heads = browser.evaluate(&format!(
        "globalThis.heads = [...[...document.querySelector('{table}').tHead.rows].at(-1).cells],
         heads.flatMap((head, i) => head.matches('.number') ? [i] : [])"
    ));
    let mut told_apart = 0;
    for i in heads.as_array().expect("a list").iter().filter_map(Value::as_u64) {
        let mut fault = |what: &str| faults.push(format!("sorting: column {i} of {table} {what}"));
        if browser.evaluate(&format!("!heads[{i}].querySelector('button')")) == true {
            fault("has no button");
            continue;
        }
        let numbers = |values: &[Option<String>]| -> Vec<f64> {
            values.iter().flatten().map(|v| v.parse().expect("a number")).collect()
        };
        let original = column(browser, table, i, true);
        for (press, state) in [("click", "ascending"), ("Enter", "descending"), (" ", "none")] {
            browser.evaluate(&format!("heads[{i}].querySelector('button').focus()"));
            match press {
                "click" => drop(browser.evaluate("document.activeElement.click()")),
                key => browser.press(key),
            }
            let said = browser.evaluate(&format!("heads[{i}].getAttribute('aria-sort') ?? 'none'"));
            if said != state {
                fault(&format!("says that it is {said}, not {state}"));
            }
            let shown = column(browser, table, i, true);
            let values = numbers(&shown);
            let in_order = match state {
                "ascending" => values.is_sorted(),
                "descending" => values.iter().rev().is_sorted(),
                _ => shown == original,
            };
            // What has no value is last.
            let missing_last = state == "none" || shown[..values.len()].iter().all(Option::is_some);
            if !in_order || !missing_last || values.len() != numbers(&original).len() {
                fault(&format!("is not {state}: {shown:?}"));
            }
        }
        let mut different = numbers(&original);
        different.sort_by(f64::total_cmp);
        different.dedup();
        told_apart += usize::from(different.len() > 2);
    }
    assert!(told_apart > 0, "no column of {table} has three different numbers, so nothing was tried");
    faults.extend(filter_faults(browser, table));
    faults
}

fn filter_faults(browser: &mut Browser, table: &str) -> Vec<String> {
    let field = format!("document.querySelector('{table}').parentElement.previousElementSibling");
    if browser.evaluate(&format!("!{field}?.querySelector('label input[type=search]')")) == true {
        return vec![format!("filter: {table} has none")];
    }
    let state = format!(
        "(() => {{
            const rows = [...document.querySelector('{table}').tBodies[0].rows];
            return [rows.filter(row => row.checkVisibility()).length, rows.length, {field}.querySelector('[aria-live]').textContent];
        }})()"
    );
    let all = browser.evaluate(&state);
    let mut faults = Vec::new();
    let mut expect = |what: &str, found: &Value, rows: &Value| {
        let said = format!("{rows} of {}", all[1]);
        if found[0] != *rows || found[2] != said.as_str() {
            faults.push(format!("filter: {what} {table} shows {found}, not {said}"));
        }
    };
    expect("without words", &all, &all[1]);
    // Two words of different cells, in either case, in the wrong order.
    let words = browser.evaluate(&format!(
        "(() => {{
            const row = document.querySelector('{table}').tBodies[0].rows[1];
            const word = cell => cell.textContent.trim().split(/\\s+/)[0].toUpperCase();
            const words = [word(row.cells[row.cells.length - 1]), word(row.cells[0])];
            const has = other => words.every(w => [...other.cells].some(c => c.textContent.toUpperCase().includes(w)));
            const rows = [...row.parentElement.rows].filter(has).length;
            {field}.querySelector('input').focus();
            return [words.join(' '), rows];
        }})()"
    ));
    browser.ask("Input.insertText", json!({ "text": words[0] }));
    expect("with some of its words", &browser.evaluate(&state), &words[1]);
    browser.ask("Input.insertText", json!({ "text": " nothing-has-this" }));
    expect("with other words", &browser.evaluate(&state), &json!(0));
    faults
}

#[test]
fn pages_are_fit_to_be_published() {
    let Some(mut browser) = chromium::or_skip() else { return };
    let folder = reports();
    let all = pages(&folder.path().join("reports"));
    // The sweep and its 16 cells, two runs, and a comparison.
    assert!(all.len() >= 20, "{all:?}");
    for page in &all {
        let faults = faults(&mut browser, page);
        assert!(faults.is_empty(), "{}: {faults:#?}", page.display());
    }
    let sweep = folder.path().join("reports/sweep/index.html");
    names_are_text(&mut browser, &all, &sweep);
    tables_sort(&mut browser, &sweep);
    tables_are_complete_without_scripts(&mut browser, &sweep);
    for page in ["sweep", "plane", "images"] {
        prints(&mut browser, &folder.path().join(format!("reports/{page}/index.html")));
    }
}

fn names_are_text(browser: &mut Browser, all: &[PathBuf], sweep: &Path) {
    browser.open(&address(sweep));
    let text = browser.evaluate("document.body.innerText");
    for name in HOSTILE {
        assert!(text.as_str().expect("text").contains(name), "{name:?} is missing in {text}");
    }
    for page in all {
        browser.open(&address(page));
        let scripts = browser.evaluate("document.scripts.length");
        let sortable = browser.evaluate("document.querySelectorAll('[data-sortable]').length");
        assert_eq!(scripts == 1, sortable != 0, "{}: {scripts} scripts, {sortable} tables", page.display());
        assert!(
            scripts.as_u64() <= Some(1) && browser.evaluate("!document.querySelector('[onerror], [src=x]')") == true
        );
    }
}

fn tables_sort(browser: &mut Browser, sweep: &Path) {
    browser.look(1280, "screen", false);
    for table in ["table.comparison", "table.cells"] {
        browser.open(&address(sweep));
        assert_eq!(sorting_faults(browser, table), Vec::<String>::new());
    }
    // Words in natural order: seed 2 before seed 10.
    browser.open(&address(sweep));
    let original = column(browser, "table.cells", 0, false);
    browser.evaluate("document.querySelector('table.cells thead button').click()");
    let sorted = column(browser, "table.cells", 0, false);
    let seeds: Vec<bool> = sorted.iter().flatten().map(|name| name.contains("-seed-2-")).collect();
    assert!(seeds.len() == 16 && seeds.chunks(2).all(|pair| pair == [true, false]), "{sorted:?}");
    assert_ne!(original, sorted);
    // What samples are held against stays below.
    let last = "document.querySelector('table.comparison').tBodies[1].className";
    assert_eq!(browser.evaluate(last), "references");
}

fn tables_are_complete_without_scripts(browser: &mut Browser, sweep: &Path) {
    browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": true }));
    browser.open(&address(sweep));
    for (table, rows) in [("table.comparison", 8), ("table.cells", 16)] {
        let shown = format!(
            "[...document.querySelector('{table}').tBodies[0].rows].filter(row => row.checkVisibility()).length"
        );
        assert_eq!(browser.evaluate(&shown), rows, "{table}");
    }
    assert_eq!(browser.evaluate("document.querySelectorAll('button, input').length"), 0);
    browser.ask("Emulation.setScriptExecutionDisabled", json!({ "value": false }));
}

fn prints(browser: &mut Browser, page: &Path) {
    browser.open(&address(page));
    browser.look(1280, "", false);
    let answer = browser.ask("Page.printToPDF", json!({ "preferCSSPageSize": true }));
    let text = answer["data"].as_str().expect("base64");
    let pdf = base64::engine::general_purpose::STANDARD.decode(text).expect("base64");
    let sheets = pdf.windows(12).filter(|w| w.starts_with(b"/Type /Page") && w[11] != b's').count();
    assert!(pdf.starts_with(b"%PDF-") && pdf.len() > 20_000 && sheets > 1, "{}: {sheets} sheets", page.display());
}

/// A sound page with something more in its head and body.
fn planted(folder: &Path, head: &str, body: &str) -> PathBuf {
    let page = folder.join("planted.html");
    let text = format!(
        "<!DOCTYPE html><html lang=en><head><meta charset=utf-8><meta name=viewport content='width=device-width'>
        <title>planted</title>{head}</head><body id=top><p>Sound. <a href='#top'>Up</a></p>{body}</body></html>"
    );
    std::fs::write(&page, text).expect("written");
    page
}

const PIXEL: &str = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7";

#[test]
fn faults_are_found() {
    let Some(mut browser) = chromium::or_skip() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sound = planted(folder.path(), "", &format!("<img src='{PIXEL}' alt='a pixel'>"));
    assert_eq!(faults(&mut browser, &sound), BTreeSet::new());
    let dark = "<style>@media (prefers-color-scheme:dark){body{background:#111}}</style>";
    let forbids = "<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\">";
    let run = |code: &str| format!("<script type=module>{code}</script>");
    for (kind, head, body) in [
        ("request", "", "<img src='http://127.0.0.1:9/a.png' alt='a'>"),
        ("request", "<link rel=stylesheet href='other.css'>", ""),
        ("console", &run("console.error('planted')"), ""),
        ("console", &run("console.warn('planted')"), ""),
        ("exception", &run("throw new Error('planted')"), ""),
        ("log", &format!("{forbids}{}", run("1")), ""),
        ("wide", "", "<div style='width:400px'>wide</div>"),
        ("image", "", "<img src='data:image/png;base64,AAAA' alt='broken'>"),
        ("image", "", &format!("<img src='{PIXEL}'>")),
        ("image", "", "<svg width=9 height=9></svg>"),
        ("link", "", "<a href='nowhere.html'>nowhere</a>"),
        ("link", "", "<a href='#nowhere'>nowhere</a>"),
        ("script", "", "<script>1</script>"),
        ("contrast", "", "<p style='color:#888'>pale</p>"),
        ("contrast", "", "<svg aria-label='a' width=90 height=9><text y=9 fill='#eee'>pale</text></svg>"),
        ("contrast", dark, ""),
        ("keyboard", "", "<a href='#top' tabindex=-1>unreached</a>"),
        ("keyboard", "", "<div style='overflow:auto;width:99px'><div style='width:200px'>scrolls</div></div>"),
        ("keyboard", "<style>:focus-visible{outline:none}</style>", ""),
        ("cut", "", "<div class=scroll tabindex=0 style='overflow:auto'><div style='width:900px'>cut</div></div>"),
    ] {
        let found = faults(&mut browser, &planted(folder.path(), head, body));
        assert!(found.iter().any(|fault| fault.starts_with(kind)), "{kind} of {head}{body}: {found:#?}");
    }
}

#[test]
fn wrong_orders_are_found() {
    let Some(mut browser) = chromium::or_skip() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let numbers = ["9", "10", "", "1e-3"];
    let cell = |number: &&str| match *number {
        "" => "<tr><td class=number>–</tr>".to_owned(),
        number => format!("<tr><td class=number data-value={number}>{number}</tr>"),
    };
    let rows: String = numbers.iter().map(cell).collect();
    let table = format!("<table><thead><tr><th class=number><button>x</button></thead><tbody>{rows}</tbody></table>");
    // Sorts by text, and has two states.
    let wrong = "<script type=module>
        const head = document.querySelector('th'), body = document.querySelector('tbody');
        head.onclick = () => {
            const up = head.getAttribute('aria-sort') !== 'ascending';
            head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
            body.append(...[...body.rows].sort((a, b) => (a.textContent < b.textContent ? -1 : 1) * (up ? 1 : -1)));
        };
        </script>";
    browser.open(&address(&planted(folder.path(), wrong, &table)));
    let found = sorting_faults(&mut browser, "table");
    for what in ["is not ascending", "is not descending", "not none", "filter: table has none"] {
        assert!(found.iter().any(|fault| fault.contains(what)), "{what}: {found:#?}");
    }
}
