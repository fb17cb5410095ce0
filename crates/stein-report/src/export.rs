//! The comparison as files for other programs.

use serde_json::{Map, Value, json};
use stein_record::csv::line;
use stein_record::{AxisRole, Better, Estimate, SweepAxis};

use crate::figures::sweep::along;
use crate::statistics::Mark;
use crate::sweep::{Column, Reference, Role, Row, Table};

/// A line a row: labels, repetitions, and of each column what is known. Empty where nothing is, `NaN` and `inf` where a number
/// is no number.
pub(crate) fn csv(table: &Table<'_>) -> String {
    let mut out = String::new();
    line(&mut out, head(table).into_iter());
    for (i, row) in table.rows.iter().enumerate() {
        let labels = row.labels.iter().chain(&row.choice.labels).map(|l| (*l).to_owned());
        let (finished, all) = row.count();
        let values = table.columns.iter().flat_map(|column| values(column, i));
        line(&mut out, labels.chain([finished.to_string(), all.to_string()]).chain(values));
    }
    out
}

fn head(table: &Table<'_>) -> Vec<String> {
    let axes = table.compared.iter().chain(&table.best).map(|axis| axis.name.clone());
    let columns = table.columns.iter().flat_map(|column| {
        let mut parts = vec!["", ".standard-error", ".n"];
        parts.extend(column.floor.map(|_| ".floor"));
        parts.extend(column.baseline.map(|_| ".baseline"));
        parts.into_iter().map(|part| format!("{}{part}", column.name))
    });
    axes.chain(["finished".into(), "repetitions".into()]).chain(columns).collect()
}

fn values(column: &Column, row: usize) -> Vec<String> {
    let mut out = match column.cells[row] {
        Some(of) => {
            let error = of.mean.standard_error;
            let error = if error.is_nan() { String::new() } else { error.to_string() };
            vec![of.mean.value.to_string(), error, of.n.to_string()]
        }
        None => vec![String::new(); 3],
    };
    let there = [column.floor, column.baseline].map(|reference| reference.is_some());
    let own = column.own[row].into_iter().zip(there).filter(|(_, there)| *there);
    out.extend(own.map(|(of, _)| of.map_or(String::new(), |of| of.value.to_string())));
    out
}

/// The same as one JSON object, with the slopes along axes of numbers.
pub(crate) fn json(experiment: &str, table: &Table<'_>) -> Value {
    let axis = |axis: &&SweepAxis| json!({ "name": axis.name, "values": axis.values, "numbers": axis.numbers, "role": role(axis.role) });
    let axes = table.compared.iter().chain(&table.best).chain(&table.repeated);
    json!({
        "schema": 1,
        "experiment": experiment,
        "axes": axes.map(axis).collect::<Vec<_>>(),
        "measures": table.measures().map(|m| m.name()).collect::<Vec<_>>(),
        "columns": table.columns.iter().map(column).collect::<Vec<_>>(),
        "rows": table.rows.iter().enumerate().map(|(i, r)| row(table, i, r)).collect::<Vec<_>>(),
        "slopes": slopes(table),
    })
}

fn role(role: AxisRole) -> &'static str {
    match role {
        AxisRole::Compare => "compare",
        AxisRole::Repeat => "repeat",
        AxisRole::Best => "best",
    }
}

fn column(column: &Column) -> Value {
    let role = match column.role {
        Role::Quality => "quality",
        Role::Cost => "cost",
        Role::Samples => "samples",
    };
    let better = match column.better {
        None | Some(Better::Neither) => Value::Null,
        Some(Better::Lower) => json!("lower"),
        Some(Better::Higher) => json!("higher"),
        Some(Better::Near(goal)) => json!({ "near": goal }),
    };
    let reference = |reference: Option<Reference>| match reference {
        None => Value::Null,
        Some(Reference::One(of)) => json!(of),
        Some(Reference::Between(low, high)) => json!({ "from": low, "to": high }),
    };
    json!({
        "name": column.name,
        "label": column.label,
        "role": role,
        "better": better,
        "floor": reference(column.floor),
        "baseline": reference(column.baseline),
    })
}

fn row(table: &Table<'_>, index: usize, row: &Row<'_>) -> Value {
    let labelled = |axes: &[&SweepAxis], labels: &[&str]| -> Map<String, Value> {
        axes.iter().zip(labels).map(|(axis, label)| (axis.name.clone(), json!(label))).collect()
    };
    let value = |column: &Column| {
        let of = column.cells[index]?;
        let mark = match column.marks[index] {
            Mark::Plain => Value::Null,
            Mark::Best => json!("best"),
            Mark::Tied => json!("tied"),
        };
        let [floor, baseline] = column.own[index];
        let mean = json!({ "mean": of.mean, "n": of.n, "not_finite": of.not_finite, "mark": mark, "floor": floor, "baseline": baseline });
        Some((column.name.clone(), mean))
    };
    let (finished, all) = row.count();
    json!({
        "labels": labelled(&table.compared, &row.labels),
        "chosen": labelled(&table.best, &row.choice.labels),
        "finished": finished,
        "repetitions": all,
        "values": table.columns.iter().filter_map(value).collect::<Map<_, _>>(),
    })
}

fn slopes(table: &Table<'_>) -> Vec<Value> {
    let slope = |axis: usize, column: &Column, (line, of): (String, Estimate)| json!({ "axis": table.compared[axis].name, "column": column.name, "line": line, "slope": of });
    let of_axis = |axis: usize| {
        let of_column =
            move |column| along::slopes(table, axis, column).into_iter().map(move |s| slope(axis, column, s));
        table.columns.iter().flat_map(of_column)
    };
    along::axes(table).into_iter().flat_map(of_axis).collect()
}

#[cfg(test)]
mod tests {
    use stein_record::MetricRecord;

    use super::*;
    use crate::sweep::Found;
    use crate::sweep::tests::sweep;

    #[test]
    fn files_say_what_the_table_says() {
        let axes = [("sampler", AxisRole::Compare, "a,\"b c"), ("seed", AxisRole::Repeat, "0 1")];
        let mut sweep = sweep(&axes, &[("a,\"b 0", 1.0), ("a,\"b 1", 3.0), ("c 0", 5.0), ("c 1", f64::INFINITY)]);
        sweep.cells[2].found = Found::Nothing;
        let table = Table::of(&sweep);
        let text = csv(&table);
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert!(
            lines[0].starts_with(
                "sampler,finished,repetitions,sigma2-fisher,sigma2-fisher.standard-error,sigma2-fisher.n,"
            ),
            "{text}"
        );
        // The mean of 1 and 3 with its standard error 1, not their deviation √2.
        assert!(lines[1].starts_with("\"a,\"\"b\",2,2,2,1,2,"), "{text}");
        assert!(lines[2].starts_with("c,1,2,inf,,0,"), "{text}");
        let fields = |line: &str| line.replace("\"a,\"\"b\"", "x").split(',').count();
        assert!(lines[..3].iter().all(|l| fields(l) == fields(lines[0])) && lines[3].is_empty());

        let all = json("x", &table);
        assert_eq!(all["rows"][0]["labels"]["sampler"], "a,\"b");
        assert_eq!(all["rows"][0]["values"]["sigma2-fisher"]["mean"], json!({ "value": 2.0, "standard_error": 1.0 }));
        assert_eq!(all["rows"][1]["values"]["sigma2-fisher"]["not_finite"], 1);
        assert_eq!(all["columns"][0]["better"], "lower");
    }

    #[test]
    fn each_row_has_its_own_floor_and_baseline() {
        let axes = [("sigma", AxisRole::Compare, "a b"), ("seed", AxisRole::Repeat, "0 1")];
        let mut sweep = sweep(&axes, &[("a 0", 1.0), ("a 1", 1.0), ("b 0", 1.0), ("b 1", 1.0)]);
        let known = |value| Some(Estimate::new(value, 0.0));
        let references = [(known(1.0), None), (known(3.0), None), (known(10.0), known(-1.0)), (None, known(-2.0))];
        for (cell, (floor, baseline)) in sweep.cells.iter_mut().zip(references) {
            let Found::Numbers(numbers) = &mut cell.found else { continue };
            numbers.metrics = vec![MetricRecord {
                name: "likelihood".into(),
                label: "likelihood".into(),
                about: String::new(),
                better: Better::Higher,
                estimate: Estimate::new(5.0, 0.1),
                floor,
                by_level: Vec::new(),
                parts: Vec::new(),
                baseline,
            }];
        }
        let table = Table::of(&sweep);
        let text = csv(&table);
        let lines: Vec<Vec<&str>> = text.split("\r\n").map(|line| line.split(',').collect()).collect();
        let at = |name: &str| lines[0].iter().position(|head| *head == name).unwrap();
        let (floor, baseline) = (at("likelihood.floor"), at("likelihood.baseline"));
        let said: Vec<_> = lines[1..3].iter().map(|line| (line[floor], line[baseline])).collect();
        assert_eq!(said, [("2", ""), ("10", "-1.5")]);
        let all = json("x", &table);
        let of = |row: usize, what: &str| all["rows"][row]["values"]["likelihood"][what]["value"].clone();
        assert_eq!([of(0, "floor"), of(0, "baseline"), of(1, "floor")], [json!(2.0), Value::Null, json!(10.0)]);
        // The column as a whole has their range.
        let column = all["columns"].as_array().unwrap().iter().find(|c| c["name"] == "likelihood").unwrap();
        assert_eq!(column["floor"], json!({ "from": 1.0, "to": 10.0 }));
    }
}
