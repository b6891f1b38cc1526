//! Charts as SVG: the same data always give the same bytes.

use std::fmt::Write;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 80.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;
const COLOURS: [&str; 6] = [
    "#1f77b4", "#d95f02", "#2ca02c", "#9467bd", "#8c564b", "#555555",
];

/// A line of a chart.
pub struct Series {
    /// Beside its last point.
    pub label: String,
    /// Which of the colours.
    pub colour: usize,
    /// Drawn with gaps.
    pub dashed: bool,
    /// With a dot at each point.
    pub dots: bool,
    /// In ascending order of x.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// A plain line.
    pub fn line(label: &str, colour: usize, points: Vec<(f64, f64)>) -> Series {
        Series {
            label: label.to_owned(),
            colour,
            dashed: false,
            dots: false,
            points,
        }
    }
}

/// How values are spread over an axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    /// As they are.
    Linear,
    /// By their logarithm.
    Logarithmic,
}

/// An axis.
pub struct Axis {
    /// What it shows.
    pub label: &'static str,
    /// How values are spread.
    pub scale: Scale,
    /// Where it is marked, and with what.
    pub ticks: Vec<(f64, String)>,
}

impl Axis {
    /// An axis from 0 to `end` with a mark at the end of each of so many parts.
    pub fn even(label: &'static str, end: f64, parts: u32) -> Axis {
        let ticks = (0..=parts).map(|part| {
            let value = end * f64::from(part) / f64::from(parts);
            (value, format!("{value:.0}"))
        });
        Axis {
            label,
            scale: Scale::Linear,
            ticks: ticks.collect(),
        }
    }

    /// An axis with a mark at each power of ten around `values`.
    pub fn decades(
        label: &'static str,
        values: impl Iterator<Item = f64>,
        name: fn(f64) -> String,
    ) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| *value > 0.0) {
            low = low.min(value.log10().floor());
            high = high.max(value.log10().ceil());
        }
        let ticks = if low < high {
            low as i32..=high as i32
        } else {
            0..=1
        }
        .map(|exponent| {
            let value = 10f64.powi(exponent);
            (value, name(value))
        })
        .collect();
        Axis {
            label,
            scale: Scale::Logarithmic,
            ticks,
        }
    }

    /// Where `value` is, from 0 to 1.
    fn place(&self, value: f64) -> f64 {
        let spread = |value: f64| match self.scale {
            Scale::Linear => value,
            Scale::Logarithmic => value.log10(),
        };
        let low = spread(self.ticks.first().map_or(1.0, |tick| tick.0));
        let high = spread(self.ticks.last().map_or(10.0, |tick| tick.0));
        ((spread(value) - low) / (high - low)).clamp(0.0, 1.0)
    }
}

/// Lines over two axes.
pub fn lines(title: &str, x: &Axis, y: &Axis, series: &[Series]) -> String {
    let px = |value| LEFT + x.place(value) * (WIDTH - LEFT - RIGHT);
    let py = |value| HEIGHT - BOTTOM - y.place(value) * (HEIGHT - TOP - BOTTOM);
    let mut svg = Svg::new(HEIGHT, title);
    for (value, name) in &x.ticks {
        svg.line((px(*value), TOP), (px(*value), HEIGHT - BOTTOM), "#dddddd");
        svg.text(px(*value), HEIGHT - BOTTOM + 18.0, "middle", name);
    }
    for (value, name) in &y.ticks {
        svg.line((LEFT, py(*value)), (WIDTH - RIGHT, py(*value)), "#dddddd");
        svg.text(LEFT - 8.0, py(*value) + 4.0, "end", name);
    }
    let middle = LEFT + (WIDTH - LEFT - RIGHT) / 2.0;
    svg.text(middle, HEIGHT - 10.0, "middle", x.label);
    svg.text(LEFT, TOP - 8.0, "start", y.label);
    let places = series.iter().map(|series| {
        let points: Vec<_> = series
            .points
            .iter()
            .map(|(a, b)| (px(*a), py(*b)))
            .collect();
        (series, points)
    });
    let mut labels = Vec::new();
    for (series, points) in places {
        svg.curve(&points, series);
        if let Some((x, y)) = points.last() {
            labels.push((*y, *x, series));
        }
    }
    // From the top, each below the one before.
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut free = TOP;
    for (y, x, series) in labels {
        let at = y.max(free);
        free = at + 14.0;
        svg.coloured_text(x + 8.0, at + 4.0, colour(series.colour), &series.label);
    }
    svg.end()
}

/// A bar of a chart.
pub struct Bar {
    /// To the left of it.
    pub label: String,
    /// Its length; none where there is nothing to draw.
    pub value: Option<f64>,
    /// To the right of it.
    pub note: String,
}

/// Horizontal bars from 0, with lines at the values of `marks`.
pub fn bars(title: &str, marks: &[(f64, &str)], bars: &[Bar]) -> String {
    const LABELS: f64 = 240.0;
    const NOTES: f64 = 170.0;
    const STEP: f64 = 28.0;
    let height = TOP + 20.0 + STEP * bars.len() as f64 + 10.0;
    let all = bars.iter().filter_map(|bar| bar.value);
    let longest = all
        .chain(marks.iter().map(|mark| mark.0))
        .fold(0.0, f64::max)
        .max(f64::MIN_POSITIVE);
    let px = |value: f64| LABELS + value / longest * (WIDTH - LABELS - NOTES);
    let mut svg = Svg::new(height, title);
    for (value, name) in marks {
        svg.line(
            (px(*value), TOP + 14.0),
            (px(*value), height - 8.0),
            "#d95f02",
        );
        svg.text(px(*value), TOP + 8.0, "middle", name);
    }
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + 20.0 + STEP * index as f64;
        svg.text(LABELS - 8.0, y + 15.0, "end", &bar.label);
        let end = px(bar.value.unwrap_or(0.0));
        svg.rectangle((LABELS, y + 2.0), (end - LABELS, STEP - 8.0), colour(0));
        svg.text(end + 8.0, y + 15.0, "start", &bar.note);
    }
    svg.end()
}

fn colour(index: usize) -> &'static str {
    COLOURS[index % COLOURS.len()]
}

struct Svg {
    text: String,
}

impl Svg {
    fn new(height: f64, title: &str) -> Svg {
        let text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
             font-family=\"sans-serif\" font-size=\"12\" fill=\"#333333\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
        );
        let mut svg = Svg { text };
        svg.push(format_args!(
            "<text x=\"{}\" y=\"18\" text-anchor=\"middle\" font-size=\"14\">{}</text>",
            WIDTH / 2.0,
            escaped(title)
        ));
        svg
    }

    fn push(&mut self, element: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{element}");
    }

    fn line(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        self.push(format_args!(
            "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
            from.0, from.1, to.0, to.1
        ));
    }

    fn rectangle(&mut self, at: (f64, f64), size: (f64, f64), colour: &str) {
        self.push(format_args!(
            "<rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
            at.0, at.1, size.0, size.1
        ));
    }

    fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str) {
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>",
            escaped(text)
        ));
    }

    fn coloured_text(&mut self, x: f64, y: f64, colour: &str, text: &str) {
        self.push(format_args!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" fill=\"{colour}\">{}</text>",
            escaped(text)
        ));
    }

    fn curve(&mut self, points: &[(f64, f64)], series: &Series) {
        let colour = colour(series.colour);
        let path: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let dashes = if series.dashed {
            " stroke-dasharray=\"5 4\""
        } else {
            ""
        };
        self.push(format_args!(
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>",
            path.join(" ")
        ));
        for (x, y) in points.iter().filter(|_| series.dots) {
            self.push(format_args!(
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            ));
        }
    }

    fn end(mut self) -> String {
        self.text.push_str("</svg>\n");
        self.text
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_cover_the_values() {
        let axis = Axis::decades("x", [30.0, 0.0, 2500.0].into_iter(), |v| v.to_string());
        let ticks: Vec<f64> = axis.ticks.iter().map(|tick| tick.0).collect();
        assert_eq!(ticks, [10.0, 100.0, 1000.0, 10000.0]);
        assert_eq!(axis.place(10.0), 0.0);
        assert_eq!(axis.place(10000.0), 1.0);
    }

    #[test]
    fn text_cannot_end_an_element() {
        let bars = bars("<a & b>", &[], &[]);
        assert!(bars.contains("&lt;a &amp; b&gt;"), "{bars}");
    }
}
