//! Manual pages, in the language of `man`, from the tables of subcommands and of keys.

use super::commands::all;
use crate::config::keys::{KEYS, Shape};
use crate::config::without_effect::WITHOUT_EFFECT;
use std::fmt::Write;

/// Text as it is: no word of it is a request, and hyphens can be copied.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    match text.starts_with(['.', '\'']) {
        true => format!("\\&{text}"),
        false => text,
    }
}

/// `xm(1)`.
#[must_use]
pub fn of_xm() -> String {
    let mut text = String::from(
        ".TH xm 1\n.SH NAME\nxm \\- manages guests\n.SH SYNOPSIS\n.B xm\n.I subcommand\n[\\fIargument\\fR ...]\n\
         .SH DESCRIPTION\nCreates, lists and ends guests, and shows and changes what they have.\n\
         .BR xend (8)\ndoes it.\n\
         A domain is named by its name, its number or its uuid.\n\
         The beginning of a subcommand's name is enough if no other begins so.\n.SH SUBCOMMANDS\n",
    );
    for command in all().filter(|command| command.is_offered) {
        let _ = writeln!(
            text,
            ".TP\n\\fB{}\\fR {}\n{}",
            escaped(command.name),
            escaped(command.arguments),
            escaped(command.help)
        );
        for option in command.options {
            let equals = if option.value.is_empty() { "" } else { "=" };
            let short = option
                .short
                .map_or(String::new(), |short| format!("-{short}, "));
            let names = format!("{short}--{}{equals}{}", option.long, option.value);
            let _ = writeln!(
                text,
                ".br\n\\fB{}\\fR  {}",
                escaped(&names),
                escaped(option.help)
            );
        }
    }
    text.push_str(
        ".SH GUESTS THAT CRASH\n\
         .B xm create\nfails, with the guest's last lines, if the guest crashes before its kernel has asked the store something\n\
         or stands idle; with\n.B \\-c\nat whatever time the guest crashes while its console is shown.\n\
         One that crashes later, while nobody looks, has been started: the exit status is 0, and\n.B xm log\nhas its end and its last lines.\n\
         What its configuration says in\n.I on_crash\nis done all the same:\n\
         with\n.I preserve\nthe guest is kept as it is, with\n.I coredump\\-destroy\nor\n.I coredump\\-restart\n\
         its core is in /var/xen/dump, and else nothing is left of it.\n\
         A guest that has not lived for a minute is not started again.\n\
         .SH EXIT STATUS\n0: done. 3: there is no such domain. 1: anything else; standard error says why.\n\
         .SH FILES\n/etc/xen: configurations of domains.\n.br\n/var/run/xend/api.sock: where xend listens.\n\
         .SH SEE ALSO\n.BR xmdomain.cfg (5),\n.BR xend (8),\n.BR xenconsole (1),\n.BR xenstore (1)\n",
    );
    text
}

fn shape(shape: Shape) -> String {
    match shape {
        Shape::Text => "STRING".to_owned(),
        Shape::Integer(least, i64::MAX) => format!("NUMBER, at least {least}"),
        Shape::Integer(least, most) => format!("NUMBER, {least} to {most}"),
        Shape::Boolean => "0 or 1".to_owned(),
        Shape::List => "[STRING, ...]".to_owned(),
        Shape::TextOrList => "STRING or [STRING, ...]".to_owned(),
    }
}

/// `xmdomain.cfg(5)`.
#[must_use]
pub fn of_configurations() -> String {
    let mut text = String::from(
        ".TH xmdomain.cfg 5\n.SH NAME\nxmdomain.cfg \\- what a domain is to be\n\
         .SH DESCRIPTION\nA file for\n.B xm create\nand\n.B xm new\nis a program in the language of Python, which assigns \
         values to the keys below;\nother names are its own.\n\
         A string of a number is as good as the number, and an empty one is as if there were none.\n\
         .I KEY=VALUE\nbehind the file's name on the command line counts more than the file;\n\
         for a key whose value is a list it is one of the list's strings.\n\
         A key that is not known is ignored; of a wrong value the file, the line and what would be right are told.\n\
         The program neither reads other files nor starts programs.\n.SH KEYS\n",
    );
    for key in KEYS {
        let _ = writeln!(
            text,
            ".TP\n\\fB{}\\fR = {}\n{}",
            escaped(key.name),
            escaped(&shape(key.shape)),
            escaped(key.meaning)
        );
        let why = WITHOUT_EFFECT.iter().find(|(name, _)| *name == key.name);
        if let Some((_, why)) = why {
            let _ = writeln!(text, "It has no effect: {}.", escaped(why));
        }
    }
    text.push_str(
        ".SH EXAMPLE\n.nf\nname = \\(aqetch\\(aq\nkernel = \\(aq/boot/vmlinuz\\(aq\nramdisk = \\(aq/boot/initrd.img\\(aq\n\
         memory = 256\nvcpus = 2\ndisk = [\\(aqphy:/dev/vg0/etch,xvda,w\\(aq]\nvif = [\\(aqbridge=xenbr0\\(aq]\n\
         root = \\(aq/dev/xvda ro\\(aq\nextra = \\(aqconsole=hvc0\\(aq\n.fi\n\
         .SH FILES\n/etc/xen: where\n.B xm create\nlooks for files that are not in the current directory.\n.br\n\
         /etc/xen/auto: those that xendomains starts.\n\
         .SH SEE ALSO\n.BR xm (1);\n.B xm create \\-\\-help_config\nlists the keys, too.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paragraphs with a hanging tag, by what is tagged.
    fn tags(page: &str) -> Vec<&str> {
        let lines: Vec<_> = page.lines().collect();
        let after = lines.windows(2).filter(|pair| pair[0] == ".TP");
        after.map(|pair| pair[1]).collect()
    }

    #[test]
    fn every_subcommand_that_is_offered_is_explained() {
        let page = of_xm();
        let tags = tags(&page);
        let offered: Vec<_> = all().filter(|command| command.is_offered).collect();
        assert_eq!(tags.len(), offered.len());
        for (tag, command) in tags.iter().zip(offered) {
            let name = command.name.replace('-', "\\-");
            assert!(tag.starts_with(&format!("\\fB{name}\\fR ")), "{tag}");
            for option in command.options {
                let long = format!("\\-\\-{}", escaped(option.long));
                assert!(page.contains(&long), "{name} {long}");
            }
        }
    }

    #[test]
    fn every_key_is_explained() {
        let page = of_configurations();
        let tags = tags(&page);
        assert_eq!(tags.len(), KEYS.len());
        for (tag, key) in tags.iter().zip(KEYS) {
            assert!(
                tag.starts_with(&format!("\\fB{}\\fR = ", key.name)),
                "{tag}"
            );
            assert!(page.contains(&escaped(key.meaning)), "{}", key.name);
        }
        assert_eq!(
            page.matches("It has no effect: ").count(),
            WITHOUT_EFFECT.len()
        );
    }

    /// The help names these pages.
    #[test]
    fn the_pages_are_those_that_the_help_names() {
        let help = super::super::help::long();
        for (page, name, section) in [(of_xm(), "xm", 1), (of_configurations(), "xmdomain.cfg", 5)]
        {
            assert!(page.starts_with(&format!(".TH {name} {section}\n")));
            assert!(help.contains(&format!("{name}({section}) man page")));
        }
    }
}
