//! Colours of an explanation on a terminal.

use std::fmt::Write as _;
use std::io;

use anstyle::{AnsiColor, Color, Style};
use clap::ValueEnum;
use ofd_engine::codec::Level;
use ofd_engine::codec::explain::{Layout, Role, Row};

/// When to use colours.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How rows look.
pub(crate) struct Paint {
    colours: bool,
    pub(crate) layout: Layout,
}

impl Paint {
    pub(crate) fn new(when: When) -> Self {
        let colours = match when {
            When::Auto => {
                !matches!(anstream::AutoStream::choice(&io::stdout()), anstream::ColorChoice::Never)
            }
            When::Always => true,
            When::Never => false,
        };
        let told = std::env::var("COLUMNS").ok().and_then(|it| it.parse().ok()).filter(|it| *it > 0);
        let of_terminal = || terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        let layout = told.or_else(of_terminal).map_or_else(Layout::default, Layout::of_width);
        Self { colours, layout }
    }

    /// One row as a line, without the spaces at its end.
    pub(crate) fn line(&self, row: &Row) -> String {
        let mut line = String::new();
        let mut rest = row.as_slice();
        while let [head @ .., last] = rest
            && last.text.trim_end_matches(' ').is_empty()
        {
            rest = head;
        }
        for (index, span) in rest.iter().enumerate() {
            let last = index.saturating_add(1) == rest.len();
            let text = if last { span.text.trim_end_matches(' ') } else { &span.text };
            let style = style_of(span.role);
            if self.colours && style != Style::new() && !text.is_empty() {
                // Writing to a String cannot fail.
                let _ = write!(line, "{style}{text}{style:#}");
            } else {
                line.push_str(text);
            }
        }
        line
    }
}

fn style_of(role: Role) -> Style {
    let plain = Style::new();
    let of = |colour: AnsiColor| plain.fg_color(Some(Color::Ansi(colour)));
    match role {
        Role::Title => plain.bold().underline(),
        Role::Offset | Role::Branch | Role::Type | Role::Bytes | Role::Aside => plain.dimmed(),
        Role::Tag => of(AnsiColor::Cyan),
        Role::Value => plain.bold(),
        Role::Money => of(AnsiColor::Green).bold(),
        Role::Meaning => of(AnsiColor::Blue),
        Role::Unknown => of(AnsiColor::Magenta),
        Role::Wrong => of(AnsiColor::Red).bold().invert(),
        Role::Finding(Level::Error) => of(AnsiColor::Red).bold(),
        Role::Finding(Level::Warning) => of(AnsiColor::Yellow),
        Role::Finding(Level::Info) => of(AnsiColor::Blue),
        Role::Good => of(AnsiColor::Green),
        _ => plain,
    }
}
