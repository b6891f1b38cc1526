//! The picture on a terminal.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Borders, Clear, Paragraph, Row, Table};

use super::keys::{HELP, Settings};
use super::model::Picture;
use super::plain;

/// Rows of cores and applications that are shown at most, so that connections have room.
const ROWS_MAX: usize = 16;

/// Draws everything: the picture, or why there is none.
pub fn draw(frame: &mut Frame<'_>, picture: Result<&Picture, &str>, settings: &Settings) {
    let area = frame.area();
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(area);
    match picture {
        Ok(picture) => {
            let summary = plain::summary(&picture.summary);
            let style = Style::new().add_modifier(Modifier::BOLD);
            frame.render_widget(Line::styled(summary, style), top);
            tables(frame, middle, picture, settings);
        }
        Err(why) => {
            let text = Text::from(vec![
                Line::styled("No service.", Style::new().fg(Color::Red)),
                Line::from(why.to_owned()),
            ]);
            frame.render_widget(Paragraph::new(text).alignment(Alignment::Center), middle);
        }
    }
    let paused = if settings.paused { "  PAUSED" } else { "" };
    let status = format!(
        "q quit  h help  s sort: {}  interval {:.1} s{paused}",
        settings.sort.name(),
        settings.interval.as_secs_f64()
    );
    let style = Style::new().add_modifier(Modifier::DIM);
    frame.render_widget(Line::styled(status, style), bottom);
    if settings.help {
        help(frame, area);
    }
}

fn tables(frame: &mut Frame<'_>, area: Rect, picture: &Picture, settings: &Settings) {
    // Each with a line for the title and one for the heads.
    let height = |rows: usize| Constraint::Length(rows.min(ROWS_MAX) as u16 + 2);
    let [cores, apps, conns] = Layout::vertical([
        height(picture.cores.len()),
        height(picture.apps.len()),
        Constraint::Min(3),
    ])
    .areas(area);
    let rows = picture.cores.iter().map(plain::core).collect();
    table(frame, cores, "Cores", plain::CORE_HEADS, rows, &[8; 9]);
    let rows = picture.apps.iter().map(plain::app).collect();
    let widths = [8, 17, 8, 6, 8, 8, 8, 8, 9];
    table(frame, apps, "Applications", plain::APP_HEADS, rows, &widths);
    let shown = picture.conns.iter().skip(settings.scroll);
    let rows = shown.take(area.height.into()).map(plain::conn).collect();
    let title = format!(
        "Connections {}-{} of {}",
        (settings.scroll + 1).min(picture.conns.len()),
        picture
            .conns
            .len()
            .min(settings.scroll + usize::from(conns.height.saturating_sub(2))),
        picture.conns.len()
    );
    let widths = [7, 22, 22, 8, 8, 7, 7, 7, 9];
    table(frame, conns, &title, plain::CONN_HEADS, rows, &widths);
}

fn table(
    frame: &mut Frame<'_>,
    area: Rect,
    title: &str,
    heads: [&str; 9],
    rows: Vec<[String; 9]>,
    widths: &[u16; 9],
) {
    let style = Style::new().add_modifier(Modifier::UNDERLINED);
    let title = Line::styled(
        title.to_owned(),
        Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD),
    );
    let table = Table::new(
        rows.into_iter().map(Row::new),
        widths.map(Constraint::Length),
    )
    .header(Row::new(heads).style(style))
    .block(Block::new().title(title).borders(Borders::TOP));
    frame.render_widget(table, area);
}

fn help(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<Line<'_>> = HELP
        .iter()
        .map(|(keys, what)| Line::from(format!("{keys:>10}  {what}")))
        .collect();
    let height = (lines.len() as u16 + 2).min(area.height);
    let width = 72.min(area.width);
    let place = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    frame.render_widget(Clear, place);
    let block = Block::bordered().title("Keys");
    frame.render_widget(Paragraph::new(lines).block(block), place);
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
