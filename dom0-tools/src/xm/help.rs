//! Help texts.

use super::commands::{Command, Group, all};
use std::fmt::Write;

const FOOTER: &str = "<Domain> can either be the Domain Name or Id.
For more help on 'xm' see the xm(1) man page.
For more help on 'xm create' see the xmdomain.cfg(5) man page.
";

/// Words in lines of at most `width` columns; one that is longer has a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn command_lines(text: &mut String, commands: impl Iterator<Item = &'static Command>) {
    for command in commands {
        for (index, line) in wrapped(command.help, 50).into_iter().enumerate() {
            let name = if index == 0 { command.name } else { "" };
            let _ = writeln!(text, " {name:<20} {line:<50}");
        }
    }
}

/// What `xm` alone prints.
#[must_use]
pub fn short() -> String {
    let mut text = String::from(
        "Usage: xm <subcommand> [args]\n\nControl, list, and manipulate Xen guest instances.\n\n\
         Common 'xm' commands:\n\n",
    );
    command_lines(&mut text, all().filter(|command| command.is_common));
    text.push('\n');
    text.push_str(FOOTER);
    text.push_str("For complete list of subcommands run 'xm help'.\n");
    text
}

/// What `xm help` prints.
#[must_use]
pub fn long() -> String {
    let mut text = String::from(
        "Usage: xm <subcommand> [args]\n\nControl, list, and manipulate Xen guest instances.\n\n\
         xm full list of subcommands:\n\n",
    );
    for group in [
        Group::Domain,
        Group::Host,
        Group::Scheduler,
        Group::Device,
        Group::Vnet,
        Group::Security,
        Group::Tmem,
        Group::Cpupool,
        Group::Other,
    ] {
        command_lines(&mut text, all().filter(|command| command.group == group));
    }
    text.push('\n');
    text.push_str(FOOTER);
    text
}

/// What is printed of a subcommand.
#[must_use]
pub fn of(command: &Command) -> String {
    let mut text = format!(
        "Usage: xm {} {}\n\n{}\n",
        command.name, command.arguments, command.help
    );
    if !command.options.is_empty() {
        text.push('\n');
    }
    for option in command.options {
        let equals = if option.value.is_empty() { "" } else { "=" };
        let long = format!("--{}{equals}{}", option.long, option.value);
        let names = option
            .short
            .map_or(long.clone(), |short| format!("-{short}, {long}"));
        for (index, line) in wrapped(option.help, 43).into_iter().enumerate() {
            let names = if index == 0 { &names } else { "" };
            let _ = writeln!(text, "  {names:<30} {line:<43}");
        }
    }
    text.push('\n');
    text
}

/// The script by which a shell completes command lines.
#[must_use]
pub fn completion(shell: &str) -> Option<String> {
    let names: Vec<_> = all()
        .filter(|command| command.is_offered)
        .map(|command| command.name)
        .collect();
    let names = names.join(" ");
    let takes_domain: Vec<_> = all()
        .filter(|command| command.is_offered && command.arguments.contains("Dom"))
        .map(|command| command.name)
        .collect();
    let options: String = all()
        .filter(|command| command.is_offered && !command.options.is_empty())
        .map(|command| {
            let options: Vec<_> = command
                .options
                .iter()
                .map(|option| format!("--{}", option.long))
                .collect();
            format!(
                "        {}) options=\"{}\" ;;\n",
                command.name,
                options.join(" ")
            )
        })
        .collect();
    let domains = "xm list 2>/dev/null | awk 'NR > 1 { print $1 }'";
    let body = format!(
        "    case \"$command\" in\n{options}    esac\n    case \"$command\" in\n        \
         {takes}) known=$({domains}) ;;\n        create) known=$(ls /etc/xen 2>/dev/null) ;;\n    esac\n",
        takes = takes_domain.join("|"),
    );
    match shell {
        "bash" => Some(format!(
            "# Completes xm's command lines; read by bash from /usr/share/bash-completion/completions/xm.\n\
             _xm() {{\n    local current=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}} options= known=\n    \
             if [ \"$COMP_CWORD\" -eq 1 ]; then\n        \
             COMPREPLY=($(compgen -W \"{names}\" -- \"$current\"))\n        return\n    fi\n{body}    \
             COMPREPLY=($(compgen -W \"$options $known\" -- \"$current\"))\n}}\ncomplete -o default -F _xm xm\n"
        )),
        "zsh" => Some(format!(
            "#compdef xm\n# Completes xm's command lines; read by zsh as _xm in a directory of $fpath.\n\
             _xm() {{\n    local command=$words[2] options= \n    local -a given\n    \
             if (( CURRENT == 2 )); then\n        compadd {names}\n        return\n    fi\n    \
             local known=\n{body}    given=(${{=options}} ${{=known}})\n    compadd -- $given\n    _files\n}}\n_xm \"$@\"\n"
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::commands::{Found, find};
    use super::*;

    #[test]
    fn help_has_its_layout() {
        let Some(Found::Command(pause)) = find("pause") else {
            panic!()
        };
        assert_eq!(
            of(pause),
            "Usage: xm pause <Domain>\n\nPause execution of a domain.\n\n"
        );
        let Some(Found::Command(console)) = find("console") else {
            panic!()
        };
        assert_eq!(
            of(console),
            "Usage: xm console [-q|--quiet] [-n NUM] <Domain>\n\nAttach to <Domain>'s console.\n\n  \
             -q, --quiet                    Do not print an error message if the domain\n                                 \
             does not exist.                            \n  \
             -n, --num=NUM                  Console number.                            \n\n"
        );
        for text in [short(), long()] {
            assert!(text.starts_with("Usage: xm <subcommand> [args]\n"));
            assert!(
                text.contains("\n pause                Pause execution of a domain."),
                "{text}"
            );
        }
        assert!(long().contains("\n pci-list-assignable-devices List all"));
        assert!(!short().contains("domname"));
    }

    #[test]
    fn shells_are_told_of_every_offered_subcommand() {
        for shell in ["bash", "zsh"] {
            let script = completion(shell).unwrap();
            assert!(
                script.contains("destroy")
                    && script.contains("vcpu-list")
                    && !script.contains("usb-add")
            );
        }
        assert_eq!(completion("fish"), None);
    }
}
