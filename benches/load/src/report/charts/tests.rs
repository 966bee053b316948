//! Charts have the right shapes and labels.

use super::*;

#[test]
fn a_chart_has_the_colours_of_its_page() {
    let points = vec![Some((0.0, 1.0)), Some((1.0, 30.0)), None, Some((3.0, 2.0))];
    let line = Line { name: "p50".into(), ink: Ink::Bad, points };
    for canvas in CANVASES {
        for axes in [Axes::TimeAndCount, Axes::TimeAndLatency, Axes::PercentileAndLatency] {
            let mut line = line.clone();
            line.points[0] = Some((1.0, 1.0));
            let svg = lines(canvas, axes, &[line]).expect("a chart");
            assert!(svg.contains("var(--bad)") && svg.contains("var(--soft)"), "{svg}");
            assert!(!svg.contains("#0") && !svg.contains("xmlns"), "{svg}");
            assert!(svg.contains("<circle"), "a point on its own is seen");
        }
    }
    assert_eq!(lines(CANVASES[0], Axes::TimeAndCount, &[]), None);
}

#[test]
fn bars_stand_beside_each_other() {
    let values = [("0".to_owned(), vec![3.0, 4.0]), ("1".to_owned(), vec![5.0])];
    let svg = bars(CANVASES[0], &[Ink::Run, Ink::Other], &values).expect("a chart");
    assert_eq!((svg.matches("var(--run)").count(), svg.matches("var(--other)").count()), (2, 1));
    assert_eq!(bars(CANVASES[0], &[Ink::Run], &[]), None);
}

#[test]
fn axes_are_labelled_for_people() {
    assert_eq!([0.05, 1.0, 2.5, 1_500.0].map(|time| latency(&time)), ["50 µs", "1 ms", "2.5 ms", "1.5 s"]);
    assert_eq!([1.0, 10.0, 1_000.0, 100_000.0].map(|x| percentile(&x)), ["0%", "90%", "99.9%", "99.999%"]);
    assert_eq!([0.5, 900.0, 25_000.0, 1_500_000.0].map(short), ["0.5", "900", "25 k", "1.5 M"]);
    assert_eq!(steps(&(0.8..12.0)), [1.0, 2.0, 5.0, 10.0]);
}
