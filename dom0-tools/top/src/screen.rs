//! The table on a screen, and what keys do there.

use crate::keys::Key;
use crate::sample::Sample;
use crate::table::{Line, Order, Shown, head, lines};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Modifier, Style};
use ratatui::text;
use ratatui::widgets::Paragraph;

const HELP: &str = "Delay  Networks  vBds  Tmem  VCPUs  Repeat header  Sort order  Quit";
/// The longest delay that can be typed.
const MOST_DELAY: u32 = 86_400;

/// What is shown now, and how.
#[derive(Clone, Debug)]
pub struct Screen {
    shown: Shown,
    order: Order,
    delay_s: u32,
    /// Lines of the table above the first that is seen.
    scrolled: usize,
    /// A delay that is being typed.
    prompt: Option<String>,
    /// Said once.
    notice: Option<String>,
    now: Sample,
    former: Option<Sample>,
}

/// What is to be done for a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// Draw what is shown.
    Draw,
    /// Draw all of it anew, whatever is on the screen.
    Redraw,
    /// Look again, for what is to be shown was not looked for.
    Look,
    /// End.
    Quit,
}

impl Screen {
    /// Begins with a first look.
    #[must_use]
    pub const fn new(shown: Shown, order: Order, delay_s: u32, first: Sample) -> Self {
        Self {
            shown,
            order,
            delay_s,
            scrolled: 0,
            prompt: None,
            notice: None,
            now: first,
            former: None,
        }
    }

    /// What is shown.
    #[must_use]
    pub const fn shown(&self) -> Shown {
        self.shown
    }

    /// Between two looks.
    #[must_use]
    pub const fn delay_s(&self) -> u32 {
        self.delay_s
    }

    /// Shows what was seen after the delay.
    pub fn see(&mut self, sample: Sample) {
        self.former = Some(std::mem::replace(&mut self.now, sample));
    }

    /// Shows what was seen in between: usage is still told since the look before.
    pub fn see_more(&mut self, sample: Sample) {
        self.now = sample;
    }

    /// Does what a key is for.
    pub fn press(&mut self, key: Key) -> Wish {
        self.notice = None;
        if self.prompt.is_some() {
            self.type_delay(key);
            return if key == Key::Interrupt {
                Wish::Quit
            } else {
                Wish::Draw
            };
        }
        match key {
            Key::Interrupt | Key::Escape | Key::Letter('q' | 'Q') => return Wish::Quit,
            Key::Redraw => return Wish::Redraw,
            Key::Letter('d' | 'D') => self.prompt = Some(String::new()),
            Key::Letter('n' | 'N') => self.shown.interfaces ^= true,
            Key::Letter('b' | 'B') => self.shown.disks ^= true,
            Key::Letter('v' | 'V') => {
                self.shown.vcpus ^= true;
                return Wish::Look;
            }
            Key::Letter('r' | 'R') => self.shown.header_each ^= true,
            Key::Letter('t' | 'T') => self.notice = Some("There is no tmem here.".to_owned()),
            Key::Letter('s' | 'S') => {
                self.order = self.order.next();
                self.notice = Some(format!("Sorted by {}", self.order.name()));
            }
            Key::Up => self.scrolled = self.scrolled.saturating_sub(1),
            Key::Down => self.scrolled = self.scrolled.saturating_add(1),
            Key::PageUp => self.scrolled = self.scrolled.saturating_sub(10),
            Key::PageDown => self.scrolled = self.scrolled.saturating_add(10),
            Key::Letter(_) | Key::Erase => {}
        }
        Wish::Draw
    }

    fn type_delay(&mut self, key: Key) {
        let Some(typed) = &mut self.prompt else {
            return;
        };
        match key {
            Key::Letter(digit @ '0'..='9') if typed.len() < 6 => typed.push(digit),
            Key::Erase => drop(typed.pop()),
            Key::Letter('\n') => {
                match typed.parse() {
                    Ok(delay) if (1..=MOST_DELAY).contains(&delay) => self.delay_s = delay,
                    _ => {
                        let notice = format!("The delay is 1 to {MOST_DELAY} seconds.");
                        self.notice = Some(notice);
                    }
                }
                self.prompt = None;
            }
            Key::Escape => self.prompt = None,
            _ => {}
        }
    }

    /// Draws it.
    pub fn draw(&mut self, frame: &mut Frame<'_>) {
        let heights = [
            Constraint::Length(3),
            Constraint::Length(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ];
        let [top, prompt, table, bottom] = Layout::vertical(heights).areas(frame.area());
        let head = head(&self.now).map(text::Line::raw);
        frame.render_widget(Paragraph::new(head.to_vec()), top);
        let said = match (&self.prompt, &self.notice) {
            (Some(typed), _) => format!("Delay(sec): {typed}"),
            (None, Some(notice)) => notice.clone(),
            (None, None) => String::new(),
        };
        frame.render_widget(Paragraph::new(said), prompt);
        let lines = lines(&self.now, self.former.as_ref(), self.shown, self.order);
        let (header, rows) = match lines.split_first() {
            // It stays where it is.
            Some((header, rows)) if !self.shown.header_each => (Some(header), rows),
            _ => (None, &*lines),
        };
        let room = usize::from(table.height).saturating_sub(usize::from(header.is_some()));
        self.scrolled = self.scrolled.min(rows.len().saturating_sub(room));
        let seen = rows.iter().skip(self.scrolled).take(room);
        let seen = header.into_iter().chain(seen).map(styled);
        frame.render_widget(Paragraph::new(seen.collect::<Vec<_>>()), table);
        let reversed = Style::new().add_modifier(Modifier::REVERSED);
        frame.render_widget(Paragraph::new(HELP).style(reversed), bottom);
    }
}

fn styled(line: &Line) -> text::Line<'_> {
    let style = match line {
        Line::Header(_) => Style::new().add_modifier(Modifier::REVERSED),
        Line::Domain(_) | Line::Detail(_) => Style::new(),
    };
    text::Line::styled(line.text(), style)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::tests::sample;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen() -> Screen {
        Screen::new(Shown::default(), Order::default(), 3, sample())
    }

    fn drawn(screen: &mut Screen, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(80, height)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let cells = terminal.backend().buffer().content();
        let rows = cells.chunks(80);
        rows.map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect())
            .map(|row: String| row.trim_end().to_owned())
            .collect()
    }

    fn letters(screen: &mut Screen, letters: &str) {
        for letter in letters.chars() {
            screen.press(Key::Letter(letter));
        }
    }

    #[test]
    fn it_shows_the_head_the_table_and_the_keys() {
        let rows = drawn(&mut screen(), 10);
        assert_eq!(rows[0], "xentop - 10:34:37   Xen 4.1.4");
        assert!(rows[2].starts_with("Mem: 4184064k total"));
        assert_eq!(rows[3], "");
        assert!(rows[4].starts_with("      NAME  STATE"));
        assert!(rows[5].starts_with("  Domain-0 -----r"));
        assert!(rows[6].starts_with("      etch --b---"));
        assert_eq!(rows[9], HELP);
    }

    #[test]
    fn keys_show_and_hide_details() {
        let mut screen = screen();
        assert_eq!(screen.press(Key::Letter('v')), Wish::Look);
        letters(&mut screen, "nb");
        let rows = drawn(&mut screen, 20);
        assert!(rows.iter().any(|row| row.starts_with("VCPUs(sec):   0:")));
        assert!(
            rows.iter()
                .any(|row| row.starts_with("Net0 RX:  1949696bytes"))
        );
        assert!(
            rows.iter()
                .any(|row| row.starts_with("VBD BlkBack 51714 [ca: 2]"))
        );
        letters(&mut screen, "vnb");
        assert_eq!(
            drawn(&mut screen, 20)
                .iter()
                .filter(|row| !row.is_empty())
                .count(),
            7
        );
    }

    #[test]
    fn it_scrolls_below_the_header_and_no_further_than_there_is() {
        let mut screen = screen();
        letters(&mut screen, "v");
        let header = |rows: &[String]| rows[4].starts_with("      NAME");
        for _ in 0..10 {
            screen.press(Key::Down);
        }
        let rows = drawn(&mut screen, 8);
        assert!(
            header(&rows) && rows[5].starts_with("VCPUs") && rows[6].contains("5:         60s")
        );
        screen.press(Key::Up);
        let rows = drawn(&mut screen, 8);
        assert!(header(&rows) && rows[5].starts_with("      etch"));
    }

    #[test]
    fn a_delay_can_be_typed() {
        let mut screen = screen();
        letters(&mut screen, "d1q5");
        screen.press(Key::Erase);
        letters(&mut screen, "2");
        assert_eq!(drawn(&mut screen, 10)[3], "Delay(sec): 12");
        letters(&mut screen, "\n");
        assert_eq!((screen.delay_s(), &*drawn(&mut screen, 10)[3]), (12, ""));
        letters(&mut screen, "d0\n");
        assert_eq!(screen.delay_s(), 12);
        assert!(drawn(&mut screen, 10)[3].starts_with("The delay is 1 to"));
        letters(&mut screen, "d7");
        assert_eq!(screen.press(Key::Escape), Wish::Draw);
        assert_eq!(screen.delay_s(), 12);
    }

    #[test]
    fn it_ends_when_it_is_asked_to() {
        for key in [Key::Letter('q'), Key::Escape, Key::Interrupt] {
            assert_eq!(screen().press(key), Wish::Quit);
        }
        assert_eq!(screen().press(Key::Redraw), Wish::Redraw);
    }

    #[test]
    fn it_sorts_by_the_next_column() {
        let mut screen = screen();
        letters(&mut screen, "s");
        assert_eq!(drawn(&mut screen, 10)[3], "Sorted by STATE");
        letters(&mut screen, "t");
        assert_eq!(drawn(&mut screen, 10)[3], "There is no tmem here.");
    }

    #[test]
    fn usage_is_told_since_the_look_before() {
        let mut screen = screen();
        let mut later = sample();
        later.at += std::time::Duration::from_secs(4);
        later.domains[0].cpu_ns += 1_000_000_000;
        screen.see(later.clone());
        let usage = |screen: &mut Screen| drawn(screen, 10)[5][29..35].trim().to_owned();
        assert_eq!(usage(&mut screen), "25.0");
        later.at += std::time::Duration::from_secs(1);
        later.domains[0].cpu_ns += 1_000_000_000;
        screen.see_more(later);
        assert_eq!(usage(&mut screen), "40.0");
        // However small it is.
        drawn(&mut screen, 1);
    }
}
