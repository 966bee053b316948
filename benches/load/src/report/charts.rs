//! Charts as SVG, to be set into a page. Colours are the page's own, so that it can be light or dark.

use plotters::coord::Shift;
use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, ValueFormatter};
use plotters::prelude::*;

use super::text::whole;

/// Lines of the same colour that differ by how much they stand out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// The run.
    Run,
    /// The run's second line.
    RunSoft,
    /// The run's third line.
    RunFaint,
    /// The run that it is compared with.
    Other,
    /// The second line of the other run.
    OtherSoft,
    /// The third line of the other run.
    OtherFaint,
    /// Errors.
    Bad,
    /// Errors of the other run.
    OtherBad,
}

const TEXT: RGBColor = RGBColor(1, 0, 1);
const GRID: RGBColor = RGBColor(1, 0, 2);

impl Ink {
    const ALL: [Self; 8] = [
        Self::Run,
        Self::RunSoft,
        Self::RunFaint,
        Self::Other,
        Self::OtherSoft,
        Self::OtherFaint,
        Self::Bad,
        Self::OtherBad,
    ];

    /// Returns the variable that the page's style gives a colour to.
    pub fn variable(self) -> &'static str {
        match self {
            Self::Run => "--run",
            Self::RunSoft => "--run-soft",
            Self::RunFaint => "--run-faint",
            Self::Other => "--other",
            Self::OtherSoft => "--other-soft",
            Self::OtherFaint => "--other-faint",
            Self::Bad => "--bad",
            Self::OtherBad => "--other-bad",
        }
    }

    /// Stands for the variable while a chart is drawn.
    fn stand_in(self) -> RGBColor {
        RGBColor(2, 0, self as u8)
    }
}

/// A line.
#[derive(Clone, Debug)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// The colour of the series.
    pub ink: Ink,
    /// From left to right. Gaps divide it.
    pub points: Vec<Option<(f64, f64)>>,
}

/// The quantities of the two axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axes {
    /// Seconds, and figures from 0 on.
    TimeAndCount,
    /// Seconds, and milliseconds in powers.
    TimeAndLatency,
    /// Percentiles, the last ones wide, and milliseconds in powers. The line's x is 1 / (1 - quantile).
    PercentileAndLatency,
}

/// Width and height of a drawing.
#[derive(Clone, Copy, Debug)]
pub struct Canvas(pub u32, pub u32);

/// For a wide page and for a telephone: the same chart, with letters of the same size.
pub const CANVASES: [Canvas; 2] = [Canvas(920, 300), Canvas(400, 280)];

/// A chart of lines. Nothing when there is no point.
pub fn lines(canvas: Canvas, axes: Axes, lines: &[Line]) -> Option<String> {
    let points = || lines.iter().flat_map(|line| line.points.iter().flatten());
    let most = |of: fn(&(f64, f64)) -> f64| points().map(of).fold(f64::MIN, f64::max);
    let least = points().map(|point| point.1).fold(f64::MAX, f64::min);
    let (right, top) = (most(|point| point.0), most(|point| point.1));
    points().next()?;
    draw(canvas, |area| match axes {
        Axes::TimeAndCount => {
            let mut builder = builder(area, 64);
            let mut chart = builder.build_cartesian_2d(0.0..right.max(1.0), 0.0..(top * 1.08).max(1.0))?;
            mesh(&mut chart, canvas, seconds, |count| short(*count))?;
            drawn(&mut chart, lines)
        }
        Axes::TimeAndLatency => {
            let range = latencies(least, top);
            let mut builder = builder(area, 64);
            let mut chart = builder.build_cartesian_2d(
                0.0..right.max(1.0),
                range.clone().log_scale().with_key_points(steps(&range)),
            )?;
            mesh(&mut chart, canvas, seconds, latency)?;
            drawn(&mut chart, lines)
        }
        Axes::PercentileAndLatency => {
            let range = latencies(least, top);
            let right = right.max(100.0);
            let nines =
                (0..6).map(|power| 10_f64.powi(power)).filter(|x| *x <= right * 1.001).collect::<Vec<_>>();
            let mut builder = builder(area, 64);
            let mut chart = builder.build_cartesian_2d(
                (1.0..right).log_scale().with_key_points(nines),
                range.clone().log_scale().with_key_points(steps(&range)),
            )?;
            mesh(&mut chart, canvas, percentile, latency)?;
            drawn(&mut chart, lines)
        }
    })
}

/// A chart of bars, one or two for each name.
pub fn bars(canvas: Canvas, inks: &[Ink], bars: &[(String, Vec<f64>)]) -> Option<String> {
    let top = bars.iter().flat_map(|(_, values)| values.iter().copied()).fold(0.0, f64::max);
    if bars.is_empty() || top <= 0.0 {
        return None;
    }
    let label = |x: &f64| {
        let place = x.round();
        let is_whole = (x - place).abs() < 1e-6 && place >= 0.0;
        bars.get(place as usize).filter(|_| is_whole).map_or_else(String::new, |(name, _)| name.clone())
    };
    draw(canvas, |area| {
        let mut builder = builder(area, 64);
        let every = bars.len().div_ceil(canvas.0 as usize / 60);
        let places: Vec<f64> = (0..bars.len()).step_by(every).map(|place| place as f64).collect();
        let across = Places { count: bars.len() as f64, labelled: places };
        let mut chart = builder.build_cartesian_2d(across, 0.0..top * 1.08)?;
        mesh(&mut chart, canvas, label, |count| short(*count))?;
        let width = 0.8 / inks.len() as f64;
        for (nth, ink) in inks.iter().enumerate() {
            chart.draw_series(bars.iter().enumerate().filter_map(|(place, (_, values))| {
                let from = place as f64 - 0.4 + nth as f64 * width;
                let value = values.get(nth)?;
                Some(Rectangle::new([(from, 0.0), (from + width * 0.94, *value)], ink.stand_in().filled()))
            }))?;
        }
        Ok(())
    })
}

/// An axis of places beside each other, some of them labelled.
struct Places {
    count: f64,
    labelled: Vec<f64>,
}

impl Ranged for Places {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + ((value + 0.5) / self.count * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.labelled.clone()
    }

    fn range(&self) -> std::ops::Range<f64> {
        -0.5..self.count - 0.5
    }
}

impl ValueFormatter<f64> for Places {}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn draw(canvas: Canvas, draw: impl for<'a> FnOnce(&Area<'a>) -> Drawn<'a>) -> Option<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (canvas.0, canvas.1)).into_drawing_area();
        draw(&area).ok()?;
        area.present().ok()?;
    }
    Some(themed(&svg))
}

/// Puts the page's colours in, and removes the parts that an SVG within a page does not need.
fn themed(svg: &str) -> String {
    let begin = svg.find("viewBox").map_or(0, |begin| begin);
    let view = svg[begin..].split('"').nth(1).unwrap_or_default();
    let body = svg.split_once('>').map_or("", |(_, body)| body);
    let mut out = format!("<svg viewBox=\"{view}\" role=\"img\">{body}");
    let hex = |color: RGBColor| format!("\"#{:02X}{:02X}{:02X}\"", color.0, color.1, color.2);
    for ink in Ink::ALL {
        out = out.replace(&hex(ink.stand_in()), &format!("\"var({})\"", ink.variable()));
    }
    out.replace(&hex(TEXT), "\"var(--soft)\"").replace(&hex(GRID), "\"var(--line)\"")
}

fn builder<'a, 'b>(area: &'a Area<'b>, left: u32) -> ChartBuilder<'a, 'b, SVGBackend<'b>> {
    let mut builder = ChartBuilder::on(area);
    builder.margin_top(10).margin_right(14).x_label_area_size(26).y_label_area_size(left);
    builder
}

type Chart<'a, 'b, X, Y> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<X, Y>>;

fn mesh<'b, X, Y>(
    chart: &mut Chart<'_, 'b, X, Y>,
    canvas: Canvas,
    across: impl Fn(&f64) -> String,
    up: impl Fn(&f64) -> String,
) -> Drawn<'b>
where
    X: Ranged<ValueType = f64> + ValueFormatter<f64>,
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(GRID)
        .label_style(("sans-serif", 15).into_font().color(&TEXT))
        .x_labels(if canvas.0 < 600 { 5 } else { 10 })
        .y_labels(6)
        .x_label_formatter(&across)
        .y_label_formatter(&up)
        .draw()
}

fn drawn<'b, X, Y>(chart: &mut Chart<'_, 'b, X, Y>, lines: &[Line]) -> Drawn<'b>
where
    X: Ranged<ValueType = f64>,
    Y: Ranged<ValueType = f64>,
{
    // The first line matters most and lies on top.
    for line in lines.iter().rev() {
        for part in line.points.split(Option::is_none) {
            let points: Vec<(f64, f64)> = part.iter().flatten().copied().collect();
            let style = line.ink.stand_in().stroke_width(2);
            if let [alone] = points[..] {
                chart.draw_series([Circle::new(alone, 3, line.ink.stand_in().filled())])?;
            } else {
                chart.draw_series(LineSeries::new(points, style))?;
            }
        }
    }
    Ok(())
}

/// Bounds of an axis of latencies, never empty.
fn latencies(least: f64, most: f64) -> std::ops::Range<f64> {
    let least = (least * 0.8).max(0.001);
    least..(most * 1.25).max(least * 2.0)
}

/// 1, 2 and 5 of each power of ten, or only the powers where there are many.
fn steps(range: &std::ops::Range<f64>) -> Vec<f64> {
    let decades = (range.end / range.start).log10();
    let of_each: &[f64] = if decades > 3.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    (-3..8)
        .flat_map(|power| of_each.iter().map(move |step| step * 10_f64.powi(power)))
        .filter(|step| range.contains(step))
        .collect()
}

fn seconds(second: &f64) -> String {
    format!("{} s", (second * 10.0).round() / 10.0)
}

fn latency(time: &f64) -> String {
    match *time {
        time if time >= 1_000.0 => format!("{} s", (time / 100.0).round() / 10.0),
        time if time < 1.0 => format!("{} µs", (time * 1_000.0).round()),
        time => format!("{} ms", (time * 10.0).round() / 10.0),
    }
}

fn percentile(x: &f64) -> String {
    let percent = 100.0 - 100.0 / x;
    format!("{}%", (percent * 1_000.0).round() / 1_000.0)
}

fn short(count: f64) -> String {
    match count {
        count if count >= 10_000_000.0 => format!("{:.0} M", count / 1e6),
        count if count >= 1_000_000.0 => format!("{:.1} M", count / 1e6),
        count if count >= 10_000.0 => format!("{:.0} k", count / 1e3),
        count if count < 10.0 && count.fract() != 0.0 => format!("{count:.1}"),
        count => whole(count),
    }
}

#[cfg(test)]
mod tests;
