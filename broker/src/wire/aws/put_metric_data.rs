//! CloudWatch's PutMetricData: the metrics of applications, which become series on the broker's page of metrics.
//!
//! A call is validated as CloudWatch does before any of it counts. Timestamps, resolutions and entities are not looked
//! at: the page shows what came last and the sums since the series began.

use tidelog_proto::Document;
use tokio::time::Instant;

use super::refusal::{Failure, quoted};
use crate::observability::applications::{ApplicationMetrics, Datum, Namespace, Statistics};
use crate::wire::caller::Caller;

/// Metrics of one call.
const DATA_MAX: usize = 1_000;
/// Dimensions of one metric.
const DIMENSIONS_MAX: usize = 30;
/// Different values of one metric in one call.
const VALUES_MAX: usize = 150;
/// Characters of a name.
const NAME_CHARS_MAX: usize = 255;
/// Characters of a dimension's value.
const DIMENSION_VALUE_CHARS_MAX: usize = 1_024;
/// Namespaces of AWS's own metrics.
const RESERVED: &str = "AWS/";
/// Largest magnitude of a value, 2^360.
const MAGNITUDE_MAX: f64 = 2.348_542_582_773_834e108;

const UNITS: [&str; 27] = [
    "Seconds",
    "Microseconds",
    "Milliseconds",
    "Bytes",
    "Kilobytes",
    "Megabytes",
    "Gigabytes",
    "Terabytes",
    "Bits",
    "Kilobits",
    "Megabits",
    "Gigabits",
    "Terabits",
    "Percent",
    "Count",
    "Bytes/Second",
    "Kilobytes/Second",
    "Megabytes/Second",
    "Gigabytes/Second",
    "Terabytes/Second",
    "Bits/Second",
    "Kilobits/Second",
    "Megabits/Second",
    "Gigabits/Second",
    "Terabits/Second",
    "Count/Second",
    NO_UNIT,
];
const NO_UNIT: &str = "None";

/// Records the metrics of one call.
///
/// # Errors
/// When a parameter is missing or wrong; nothing of the call counts then.
pub(super) fn run(
    applications: &ApplicationMetrics,
    caller: &Caller,
    input: &Document,
) -> Result<(), Failure> {
    let namespace = namespace(input)?;
    let data = match list(input, "MetricData", "MetricData")? {
        Some(data) => data,
        None if is_present(input, "EntityMetricData") => return Ok(()),
        None => return Err(required("MetricData")),
    };
    if data.len() > DATA_MAX {
        return Err(Failure::invalid(format!(
            "The collection MetricData must not have a size greater than {DATA_MAX}."
        )));
    }
    let path = |position: usize| format!("MetricData.member.{}", position + 1);
    let read = |(position, value)| datum(value, &path(position));
    let data = data.iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
    let place = Namespace { account: &caller.account, region: &caller.region, name: namespace };
    applications.record(&place, &data, Instant::now());
    Ok(())
}

fn namespace(input: &Document) -> Result<&str, Failure> {
    let name = text(input, "Namespace", "", NAME_CHARS_MAX)?.ok_or_else(|| required("Namespace"))?;
    if name.starts_with(':') || name.starts_with(RESERVED) {
        let shown = quoted(name);
        return Err(Failure::invalid(format!("The value {shown} for parameter Namespace is invalid.")));
    }
    Ok(name)
}

fn datum(value: &Document, path: &str) -> Result<Datum, Failure> {
    if !matches!(value, Document::Map(_)) {
        return Err(Failure::invalid(format!("The parameter {path} must be a structure.")));
    }
    let metric = text(value, "MetricName", path, NAME_CHARS_MAX)?;
    let metric = metric.ok_or_else(|| required(&format!("{path}.MetricName")))?.to_owned();
    let unit = text(value, "Unit", path, NAME_CHARS_MAX)?.unwrap_or(NO_UNIT);
    let unit = UNITS.into_iter().find(|known| *known == unit).ok_or_else(|| {
        Failure::invalid(format!("The value {} for parameter {path}.Unit is invalid.", quoted(unit)))
    })?;
    Ok(Datum { metric, unit, dimensions: dimensions(value, path)?, statistics: statistics(value, path)? })
}

fn dimensions(value: &Document, path: &str) -> Result<Vec<(String, String)>, Failure> {
    let path = format!("{path}.Dimensions");
    let dimensions = list(value, "Dimensions", &path)?.unwrap_or_default();
    if dimensions.len() > DIMENSIONS_MAX {
        return Err(Failure::invalid(format!(
            "The collection {path} must not have a size greater than {DIMENSIONS_MAX}."
        )));
    }
    let dimension = |(position, dimension): (usize, &Document)| {
        let path = format!("{path}.member.{}", position + 1);
        let part = |member: &str, chars_max| {
            let found = text(dimension, member, &path, chars_max)?;
            found.map(str::to_owned).ok_or_else(|| required(&format!("{path}.{member}")))
        };
        Ok((part("Name", NAME_CHARS_MAX)?, part("Value", DIMENSION_VALUE_CHARS_MAX)?))
    };
    dimensions.iter().enumerate().map(dimension).collect()
}

/// The figures of a metric, in whichever of the three forms they came.
fn statistics(value: &Document, path: &str) -> Result<Statistics, Failure> {
    let single = number(value, "Value", path)?;
    let set = value.get("StatisticValues").filter(|set| !matches!(set, Document::Null));
    let values = list(value, "Values", &format!("{path}.Values"))?.filter(|values| !values.is_empty());
    match (single, set, values) {
        (Some(value), None, None) => Ok(Statistics::of(value, 1.0)),
        (None, Some(set), None) => statistic_set(set, &format!("{path}.StatisticValues")),
        (None, None, Some(values)) => distribution(value, values, path),
        (None, None, None) => Err(Failure::missing(format!(
            "At least one of the parameters {path}.Value, {path}.Values or {path}.StatisticValues must be specified."
        ))),
        _ => Err(Failure::combined(format!(
            "The parameters {path}.Value, {path}.Values and {path}.StatisticValues are mutually exclusive and you have \
             specified more than one of them."
        ))),
    }
}

fn statistic_set(set: &Document, path: &str) -> Result<Statistics, Failure> {
    let part = |member| number(set, member, path)?.ok_or_else(|| required(&format!("{path}.{member}")));
    let statistics = Statistics {
        samples: part("SampleCount")?,
        sum: part("Sum")?,
        minimum: part("Minimum")?,
        maximum: part("Maximum")?,
    };
    if statistics.samples < 0.0 {
        return Err(Failure::invalid(format!("The parameter {path}.SampleCount must not be negative.")));
    }
    if statistics.minimum > statistics.maximum {
        return Err(Failure::invalid(format!(
            "The parameter {path}.Maximum must not be less than {path}.Minimum."
        )));
    }
    Ok(statistics)
}

/// Values, each with the number of times that it occurred.
fn distribution(datum: &Document, values: &[Document], path: &str) -> Result<Statistics, Failure> {
    let counts = list(datum, "Counts", &format!("{path}.Counts"))?.filter(|counts| !counts.is_empty());
    if values.len() > VALUES_MAX {
        return Err(Failure::invalid(format!(
            "The collection {path}.Values must not have a size greater than {VALUES_MAX}."
        )));
    }
    if counts.is_some_and(|counts| counts.len() != values.len()) {
        return Err(Failure::invalid(format!(
            "The parameters {path}.Values and {path}.Counts must be of the same size."
        )));
    }
    let mut total: Option<Statistics> = None;
    for (position, value) in values.iter().enumerate() {
        let path = |list: &str| format!("{path}.{list}.member.{}", position + 1);
        let value = figure(value, || path("Values"))?;
        let count = counts.map_or(Ok(1.0), |counts| figure(&counts[position], || path("Counts")))?;
        if count < 0.0 {
            return Err(Failure::invalid(format!("The parameter {} must not be negative.", path("Counts"))));
        }
        let one = Statistics::of(value, count);
        total = Some(total.map_or(one, |total| total.and(&one)));
    }
    total.ok_or_else(|| required(&format!("{path}.Values")))
}

fn required(parameter: &str) -> Failure {
    Failure::missing(format!("The parameter {parameter} is required."))
}

fn is_present(value: &Document, member: &str) -> bool {
    value.get(member).is_some_and(|found| !matches!(found, Document::Null))
}

/// A text of 1 to `chars_max` characters.
fn text<'a>(
    value: &'a Document,
    member: &str,
    path: &str,
    chars_max: usize,
) -> Result<Option<&'a str>, Failure> {
    let dot = if path.is_empty() { "" } else { "." };
    match value.get(member) {
        None | Some(Document::Null) => Ok(None),
        Some(Document::Text(text))
            if text.is_empty() || text.len() > chars_max && text.chars().count() > chars_max =>
        {
            Err(Failure::invalid(format!(
                "The parameter {path}{dot}{member} must be between 1 and {chars_max} characters long."
            )))
        }
        Some(Document::Text(text)) => Ok(Some(text)),
        Some(_) => Err(Failure::invalid(format!("The parameter {path}{dot}{member} must be a text."))),
    }
}

/// A list; a form writes an empty one as an empty text.
fn list<'a>(value: &'a Document, member: &str, path: &str) -> Result<Option<&'a [Document]>, Failure> {
    match value.get(member) {
        None | Some(Document::Null) => Ok(None),
        Some(Document::List(elements)) => Ok(Some(elements)),
        Some(Document::Text(text)) if text.is_empty() => Ok(Some(&[])),
        Some(_) => Err(Failure::invalid(format!("The parameter {path} must be a list."))),
    }
}

fn number(value: &Document, member: &str, path: &str) -> Result<Option<f64>, Failure> {
    match value.get(member) {
        None | Some(Document::Null) => Ok(None),
        Some(found) => figure(found, || format!("{path}.{member}")).map(Some),
    }
}

/// A number; forms and some JSON write it as a text.
fn figure(value: &Document, path: impl Fn() -> String) -> Result<f64, Failure> {
    let number = match value {
        Document::Integer(number) => Some(*number as f64),
        Document::Double(number) => Some(*number),
        Document::Text(text) => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if number.abs() <= MAGNITUDE_MAX => Ok(number),
        Some(_) => Err(Failure::invalid(format!(
            "The parameter {} must be a number between -2^360 and 2^360.",
            path()
        ))),
        None => Err(Failure::invalid(format!("The parameter {} must be a number.", path()))),
    }
}

#[cfg(test)]
mod tests {
    use tidelog_proto::Codec;

    use super::*;

    fn put(input: &str) -> Result<String, Failure> {
        let applications = ApplicationMetrics::new("000000000000".into(), "us-east-1".into());
        let caller = Caller { account: "000000000000".into(), region: "us-east-1".into() };
        let input = Codec::Json.decode(&input.to_owned().into()).unwrap();
        run(&applications, &caller, &input).map(|()| applications.page(Instant::now()))
    }

    fn put_datum(datum: &str) -> Result<String, Failure> {
        put(&format!(r#"{{"Namespace":"app","MetricData":[{{"MetricName":"m",{datum}}}]}}"#))
    }

    #[tokio::test]
    async fn three_forms_of_figures_are_taken() {
        for (datum, sum, count, maximum) in [
            (r#""Value":2.5"#, "2.5", "1", "2.5"),
            (r#""Value":"7","Values":[]"#, "7", "1", "7"),
            (r#""StatisticValues":{"SampleCount":4,"Sum":10,"Minimum":1,"Maximum":4}"#, "10", "4", "4"),
            (r#""Values":[1,2,3]"#, "6", "3", "3"),
            (r#""Values":[1,-2],"Counts":[3,0.5]"#, "2", "3.5", "1"),
        ] {
            let page = put_datum(datum).unwrap();
            let labels = r#"{namespace="app",metric="m",unit="None"}"#;
            for (name, value) in [("sum", sum), ("count", count), ("maximum", maximum)] {
                let line = format!("tidelog_application_metric_{name}{labels} {value}\n");
                assert!(page.contains(&line), "{datum}: {page}");
            }
        }
    }

    #[tokio::test]
    async fn wrong_parameters_are_named() {
        let set = |inner: &str| format!(r#""StatisticValues":{{{inner}}}"#);
        let cases = [
            (String::new() + r#""Unit":"Count""#, "MissingParameter", "MetricData.member.1.Value, "),
            (r#""Value":1,"Values":[1]"#.into(), "InvalidParameterCombination", "mutually exclusive"),
            (r#""Value":"NaN""#.into(), "InvalidParameterValue", "member.1.Value must be a number between"),
            (r#""Value":1e200"#.into(), "InvalidParameterValue", "2^360"),
            (r#""Value":true"#.into(), "InvalidParameterValue", "must be a number."),
            (r#""Value":1,"Unit":"Parsec""#.into(), "InvalidParameterValue", "The value Parsec"),
            (r#""Values":[1,2],"Counts":[1]"#.into(), "InvalidParameterValue", "of the same size"),
            (r#""Values":[1],"Counts":[-1]"#.into(), "InvalidParameterValue", "Counts.member.1 must not be"),
            (
                format!(r#""Values":[{}1]"#, "1,".repeat(VALUES_MAX)),
                "InvalidParameterValue",
                "greater than 150",
            ),
            (set(r#""SampleCount":1,"Sum":1,"Minimum":1"#), "MissingParameter", "StatisticValues.Maximum"),
            (
                set(r#""SampleCount":1,"Sum":1,"Minimum":2,"Maximum":1"#),
                "InvalidParameterValue",
                "Maximum must not",
            ),
            (
                r#""Value":1,"Dimensions":[{"Name":"a"}]"#.into(),
                "MissingParameter",
                "member.1.Value is required",
            ),
            (r#""Value":1,"Dimensions":"a""#.into(), "InvalidParameterValue", "must be a list"),
            (
                format!(r#""Value":1,"Dimensions":[{}1]"#, "1,".repeat(DIMENSIONS_MAX)),
                "InvalidParameterValue",
                "greater than 30",
            ),
        ];
        for (datum, code, part) in cases {
            let failure = put_datum(&datum).unwrap_err();
            assert_eq!((failure.code, failure.message.contains(part)), (code, true), "{datum}: {failure:?}");
        }
    }

    #[tokio::test]
    async fn a_call_names_its_namespace_and_has_up_to_a_thousand_metrics() {
        let data = |count: usize| {
            let data = vec![r#"{"MetricName":"m","Value":1}"#; count].join(",");
            format!(r#"{{"Namespace":"app","MetricData":[{data}]}}"#)
        };
        assert!(
            put(&data(DATA_MAX))
                .unwrap()
                .contains("_count{namespace=\"app\",metric=\"m\",unit=\"None\"} 1000\n")
        );
        assert_eq!(put(r#"{"Namespace":"app","EntityMetricData":[]}"#), Ok(String::new()));
        let long = "n".repeat(256);
        for (input, code, part) in [
            (data(DATA_MAX + 1), "InvalidParameterValue", "greater than 1000"),
            ("{}".into(), "MissingParameter", "Namespace is required"),
            (r#"{"Namespace":"app"}"#.into(), "MissingParameter", "MetricData is required"),
            (r#"{"Namespace":"AWS/Kinesis","MetricData":[]}"#.into(), "InvalidParameterValue", "AWS/Kinesis"),
            (format!(r#"{{"Namespace":"{long}"}}"#), "InvalidParameterValue", "between 1 and 255"),
            (r#"{"Namespace":"app","MetricData":[1]}"#.into(), "InvalidParameterValue", "a structure"),
            (r#"{"Namespace":"app","MetricData":[{"Value":1}]}"#.into(), "MissingParameter", "MetricName"),
        ] {
            let failure = put(&input).unwrap_err();
            assert_eq!((failure.code, failure.message.contains(part)), (code, true), "{failure:?}");
        }
    }
}
