//! What lies beside pages: their tables as files, and the overview of all reports.

use std::path::Path;

use stein_record::{AxisRole, Estimate, Evaluation, RunDir, State, SweepRecord};

use super::synthetic::{axis, cell, digits, mixture_run, record, sweep_runs, swept};
use super::{check, place, tags, text};

fn read(path: impl AsRef<Path>) -> String {
    let path = path.as_ref();
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The links of a page.
fn links(page: &str) -> Vec<&str> {
    tags(page, "<a href=\"").map(|tag| tag.split('"').next().unwrap()).collect()
}

/// Two samplers and two seeds of digits; the second sampler's precision is the first's and `more`, for each seed.
fn samplers(runs: &Path, more: [f64; 2], start: &str) -> std::path::PathBuf {
    let mut cells = Vec::new();
    for (s, sampler) in ["coarse", "fine"].into_iter().enumerate() {
        for seed in 0..2u64 {
            let name = format!("{sampler}-seed-{seed}-{:08x}", cells.len());
            let dir = RunDir::new(digits(runs, "samplers", &name).join(&name));
            let mut about = dir.read_record().unwrap().unwrap();
            about.seed = seed;
            dir.write_record(&about).unwrap();
            let mut evaluation = dir.read_evaluation().unwrap().unwrap();
            evaluation.metrics[0].estimate.value = 0.5 + 0.2 * seed as f64 + s as f64 * more[seed as usize];
            dir.write_evaluation(&evaluation).unwrap();
            let start = if s == 0 { "prior" } else { start };
            let toml = format!(
                "name = \"samplers\"\nseed = {seed}\n[sampler]\nstart = \"{start}\"\nsteps-per-level = {}\n",
                [3, 10][s]
            );
            std::fs::write(dir.experiment(), toml).unwrap();
            cells.push(swept(&name, &[("sampler", sampler), ("seed", &seed.to_string())]));
        }
    }
    let folder = runs.join("samplers");
    let axes =
        vec![axis("sampler", AxisRole::Compare, &["coarse", "fine"]), axis("seed", AxisRole::Repeat, &["0", "1"])];
    let measures = vec![read_metric(&folder.join("coarse-seed-0-00000000"))];
    SweepRecord { schema: 1, experiment: "samplers".into(), measures, axes, cells }.write(&folder).unwrap();
    folder
}

fn read_metric(run: &Path) -> String {
    RunDir::new(run).read_evaluation().unwrap().unwrap().metrics[0].name.clone()
}

#[test]
fn rows_are_told_apart_and_held_against_the_first() {
    let place = place("samplers");
    let page = place.report(&samplers(&place.runs(), [0.1, 0.3], "prior"));
    let all = text(&page);
    assert!(all.contains("sampler coarse fine sampler.steps-per-level 3 10"), "{all}");
    assert!(!all.contains("sampler.start"), "what is the same in all is not listed");
    assert!(all.contains("How far each row is from the first, “coarse”."), "{all}");
    // 0.1 and 0.3: mean 0.2, standard error 0.1, and t at 97.5% with one degree of freedom is 12.706 204 736.
    let found = all.split("Differences, seed by seed").nth(1).unwrap();
    assert!(found.contains("fine +0.20 [−1.1, 1.5]"), "{found}");
    let json: serde_json::Value =
        serde_json::from_str(&read(place.root.join("reports/samplers/differences.json"))).unwrap();
    let row = json["rows"].as_array().unwrap().iter().find(|row| row["sampler"] == "fine").unwrap();
    assert_eq!((&row["reference.sampler"], &row["n"], &row["told"]), (&"coarse".into(), &2.into(), &false.into()));
    assert!((row["high"].as_f64().unwrap() - (0.2 + 0.1 * 12.706_204_736_174_7)).abs() < 1e-6, "{row}");
    let csv = read(place.root.join("reports/samplers/configuration.csv"));
    assert_eq!(
        csv,
        "axis,label,key,value\r\nsampler,coarse,sampler.steps-per-level,3\r\nsampler,fine,sampler.steps-per-level,10\r\n"
    );

    assert!(
        all.contains(
            "from its first finished repetition (seed 0). Sample for sample all start from the same draws of noise."
        ),
        "{all}"
    );
    for alt in ["24 samples of coarse.", "24 samples of fine.", "24 held-out rows."] {
        assert!(page.contains(&format!("alt=\"{alt}\"")), "{alt}");
    }
}

#[test]
fn noise_is_called_the_same_only_where_it_is() {
    let same = "the same draws of noise";
    let place = place("starts");
    let page = place.report(&samplers(&place.runs(), [0.1, 0.3], "data"));
    assert!(
        !page.contains(same) && text(&page).contains("sampler.start &quot;prior&quot; &quot;data&quot;"),
        "{}",
        text(&page)
    );
    // The first finished repetition of one row has another seed than that of the other.
    let folder = samplers(&place.runs(), [0.1, 0.3], "prior");
    assert!(place.report(&folder).contains(same));
    std::fs::remove_dir_all(folder.join("fine-seed-0-00000002")).unwrap();
    let page = place.report(&folder);
    assert!(!page.contains(same) && page.contains("first finished repetition, whose seeds differ."), "{}", text(&page));
    assert!(text(&page).contains("3 of 4 cells finished; 1 not begun."));
    let cells = read(place.root.join("reports/samplers/cells.csv"));
    assert!(cells.contains("fine-seed-0-00000002,,not begun,,fine,0,"), "{cells}");
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let place = place("links");
    place.report(&mixture_run(&place.runs(), "alone", "alone-1a2b3c4d", 3));
    place.report(&sweep_runs(&place.runs(), "objectives"));
    place.report(&samplers(&place.runs(), [0.1, 0.3], "prior"));
    let reports = place.root.join("reports");
    let mut pages = vec![reports.join("index.html")];
    let mut seen = std::collections::BTreeSet::new();
    let mut tables = 0;
    while let Some(path) = pages.pop() {
        if !seen.insert(path.clone()) {
            continue;
        }
        let page = read(&path);
        check(&page);
        for link in links(&page).into_iter().filter(|link| !link.starts_with('#')) {
            let to = path.parent().unwrap().join(link);
            let text = read(&to);
            match to.extension().and_then(|e| e.to_str()) {
                Some("csv") => {
                    assert!(text.ends_with("\r\n") && text.matches("\r\n").count() > 1, "{}", to.display());
                    tables += 1;
                }
                Some("json") => {
                    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
                    assert!(json["rows"].as_array().is_some_and(|rows| !rows.is_empty()), "{}", to.display());
                }
                // Up again is where this came from.
                _ if !link.ends_with("index.html") || path == reports.join("index.html") => pages.push(to),
                _ => {}
            }
        }
    }
    // The overview, three experiments, and the cells of two of them.
    assert_eq!(seen.len(), 1 + 3 + 35 + 4);
    // Metrics and levels of each run at least, and what the sweeps' pages have.
    assert!(tables > 2 * 40 + 6, "{tables}");
    // A page that lies nowhere leads nowhere.
    let alone = stein_report::page_of(&RunDir::new(place.runs().join("alone/alone-1a2b3c4d")));
    assert_eq!(links(&alone).into_iter().filter(|link| !link.starts_with('#')).count(), 0);
}

#[test]
fn tables_say_what_the_run_says() {
    let place = place("tables");
    let folder = mixture_run(&place.runs(), "tables", "a-11111111", 3);
    place.report(&folder);
    let reports = place.root.join("reports/tables");
    let evaluation: Evaluation = RunDir::new(folder.join("a-11111111")).read_evaluation().unwrap().unwrap();
    let json = |name: &str| -> serde_json::Value { serde_json::from_str(&read(reports.join(name))).unwrap() };
    let (metrics, levels) = (json("metrics.json"), json("levels.json"));
    let first = &evaluation.metrics[0];
    assert_eq!(metrics["rows"][0]["metric"], first.name);
    assert_eq!(metrics["rows"][0]["samples"], first.estimate.value);
    assert_eq!(metrics["rows"][0]["real-data"], first.floor.unwrap().value);
    assert_eq!(levels["rows"].as_array().unwrap().len(), evaluation.levels.len());
    let (last, found) = (evaluation.levels.last().unwrap(), levels["rows"].as_array().unwrap().last().unwrap());
    assert_eq!((&found["sigma"], &found["held-out"]), (&last.sigma.into(), &last.held_out.value.into()));
    assert_eq!(read(reports.join("levels.csv")).matches("\r\n").count(), 1 + evaluation.levels.len());

    // With a second cell they are in the cells' folders, and nowhere else.
    mixture_run(&place.runs(), "tables", "b-22222222", 4);
    let page = place.report(&folder);
    assert!(!page.contains("class=\"number best"), "single runs cannot tell which is the best");
    assert!(!reports.join("metrics.csv").exists() && !reports.join("levels.json").exists());
    assert_eq!(json("a-11111111/metrics.json"), metrics);
    assert_eq!(read(reports.join("cells.csv")).lines().count(), 3);
    // Nor does the overview choose one of runs that nothing holds together.
    assert_eq!(json("summary.json")["best"], serde_json::json!([]));
    // What is hidden is no cell.
    mixture_run(&place.runs(), "tables", ".moved-33333333", 5);
    place.report(&folder);
    assert_eq!(read(reports.join("cells.csv")).lines().count(), 3);
}

#[test]
fn all_reports_are_listed() {
    let place = place("overview");
    let reports = place.root.join("reports");
    place.report(&mixture_run(&place.runs(), "mixture", "mixture-1a2b3c4d", 3));
    let (folder, dir) = cell(&place.runs(), "younger", "cell-00000000");
    let mut about = record("younger", "cell-00000000");
    (about.state, about.started, about.ended) = (State::Running, "2026-03-02T10:20:30Z".into(), None);
    dir.write_record(&about).unwrap();
    place.report(&folder);
    place.report(&sweep_runs(&place.runs(), "objectives"));
    let overview = || {
        let page = read(reports.join("index.html"));
        check(&page);
        page
    };
    let page = overview();
    let all = text(&page);
    assert!(all.contains("3 experiments."), "{all}");
    let rows: Vec<&str> = all.split(" MB ").collect();
    // The last record first, then by name.
    assert!(
        all.find("younger").unwrap() < all.find("mixture ").unwrap()
            && all.find("mixture ").unwrap() < all.find("objectives").unwrap()
    );
    assert!(all.contains("younger unet on digits running as of") && all.contains("2026-03-02 10:20 UTC"), "{all}");
    assert!(all.contains("33 of 36 finished 1 diverged 1 failed 1 not begun as of"), "{all}");
    // The mean over seeds of the best row with its standard error, as on the experiment's own page.
    let without = "mean σ²·Fisher divergence 0.0617 ± 0.0045 denoising · no noise , best, 3 repetitions";
    // Of its rival a repetition is missing.
    let with = "0.0142 ± 0.0011 denoising · 8 to 0.05 , not told from the others, 3 repetitions";
    assert!(all.contains(without) && all.contains(with) && all.contains("0.695 ± 0.059 own s.e."), "{all}");
    assert!(all.contains("Written by stein from what each report left in its summary.json") && !all.contains("alone"));
    assert!(rows.len() >= 2 && tags(&page, "<img").filter(|tag| tag.contains("Some samples of mixture.")).count() == 1);
    assert!(links(&page).contains(&"objectives/index.html"));

    // What is gone vanishes; what is damaged, or of an older stein, is said.
    std::fs::remove_dir_all(reports.join("younger")).unwrap();
    std::fs::write(reports.join("mixture/summary.json"), "{\"schema\": 1, \"name\": \"mix").unwrap();
    std::fs::create_dir_all(reports.join("old <b>")).unwrap();
    std::fs::write(reports.join("old <b>/index.html"), "<!DOCTYPE html>").unwrap();
    std::fs::create_dir_all(reports.join("pictures")).unwrap();
    std::fs::create_dir_all(place.runs().join("notes")).unwrap();
    stein_report::write(&place.runs().join("notes"), &reports).unwrap();
    std::fs::create_dir_all(reports.join(".old")).unwrap();
    std::fs::write(reports.join(".old/index.html"), "<!DOCTYPE html>").unwrap();
    place.report(&place.runs().join("objectives"));
    let page = overview();
    let all = text(&page);
    assert!(all.contains("3 experiments.") && !all.contains("younger") && !all.contains("pictures"), "{all}");
    assert!(all.contains("mixture Not known: its summary is damaged."), "{all}");
    assert!(
        all.contains("old &lt;b&gt; Not known: it has no summary.")
            && page.contains("href=\"old%20%3Cb%3E/index.html\""),
        "{all}"
    );
    place.report(&place.runs().join("mixture"));
    assert!(!overview().contains("damaged"));
}

#[test]
fn a_hostile_summary_is_shown_as_text() {
    let place = place("hostile-summary");
    place.report(&mixture_run(&place.runs(), "mixture", "mixture-1a2b3c4d", 3));
    let path = place.root.join("reports/mixture/summary.json");
    let mut summary: serde_json::Value = serde_json::from_str(&read(&path)).unwrap();
    let attack = "\"><script>alert(1)</script>\u{202e}";
    for key in ["about", "recorded", "written"] {
        summary[key] = attack.into();
    }
    (summary["picture"]["png"], summary["best"][0]["label"]) = (attack.into(), attack.into());
    summary["best"][0]["value"] = "NaN".into();
    summary["cells"] = serde_json::json!({ attack: 2 });
    std::fs::write(&path, summary.to_string()).unwrap();
    place.report(&mixture_run(&place.runs(), "other", "other-1a2b3c4d", 3));
    let page = read(place.root.join("reports/index.html"));
    check(&page);
    assert!(page.contains("&lt;script&gt;alert(1)") && !page.contains('\u{202e}') && page.contains("not finite"));
}

#[test]
fn reports_that_are_written_at_once_are_all_listed() {
    let place = place("at-once");
    let names: Vec<String> = (0..6).map(|i| format!("experiment-{i}")).collect();
    for name in &names {
        let (_, dir) = cell(&place.runs(), name, "cell-00000000");
        dir.write_record(&record(name, "cell-00000000")).unwrap();
    }
    let reports = place.root.join("reports");
    std::thread::scope(|scope| {
        for name in &names {
            let (place, reports) = (&place, &reports);
            scope.spawn(move || {
                for _ in 0..5 {
                    stein_report::write(&place.runs().join(name), reports).unwrap();
                    let page = read(reports.join("index.html"));
                    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>"));
                }
            });
        }
    });
    let page = read(reports.join("index.html"));
    for name in &names {
        assert!(page.contains(&format!("href=\"{name}/index.html\"")), "{name}");
    }
    let left = std::fs::read_dir(&reports).unwrap().count();
    assert_eq!(left, names.len() + 1, "nothing half written is left");
}

#[test]
fn an_estimate_without_an_error_is_no_number_in_a_table() {
    let place = place("no-error");
    let folder = mixture_run(&place.runs(), "no-error", "a-11111111", 3);
    let dir = RunDir::new(folder.join("a-11111111"));
    let mut evaluation = dir.read_evaluation().unwrap().unwrap();
    evaluation.metrics.truncate(1);
    evaluation.metrics[0].estimate = Estimate::new(f64::INFINITY, f64::NAN);
    (evaluation.metrics[0].floor, evaluation.metrics[0].baseline) = (None, None);
    dir.write_evaluation(&evaluation).unwrap();
    place.report(&folder);
    let csv = read(place.root.join("reports/no-error/metrics.csv"));
    let line = csv.lines().nth(1).unwrap();
    assert!(line.contains(",inf,,,,,"), "{csv}");
}
