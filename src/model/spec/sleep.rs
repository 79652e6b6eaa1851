//! For how long a command sleeps, as far as its words tell.

/// What separates the words of a script beside white space. A line break ends a command too.
const SIGNS: [char; 10] = [';', '\n', '&', '|', '(', ')', '{', '}', '\'', '"'];

/// They repeat what they hold: nobody knows from the words how often.
const LOOPS: [&str; 3] = ["for", "while", "until"];

/// Words after which a command begins.
const BEFORE: [&str; 7] = ["do", "then", "else", "if", "elif", "!", "exec"];

/// All sleeps of a command, one after the other, in seconds. Fractions are rounded down. `None` if there is none, or if its length cannot be
/// told: a sleep in the background, anything in a loop, or a length that is not written there.
pub(super) fn slept(command: &[String]) -> Option<u32> {
    let tokens: Vec<_> = command.iter().flat_map(|part| tokens(part)).collect();
    let mut total: Option<f64> = None;
    // What is open, and whether there was a sleep in the commands that one `&` would put into the background.
    let (mut open, mut has_slept) = (Vec::new(), false);
    for (at, token) in tokens.iter().copied().enumerate() {
        match token {
            ";" | "\n" => has_slept &= !open.is_empty(),
            "&" if has_slept => return None,
            "(" | "{" => open.push(token),
            ")" | "}" => drop(open.pop()),
            "'" | "\"" => match open.iter().position(|it| *it == token) {
                Some(opened) => open.truncate(opened),
                None => open.push(token),
            },
            _ if LOOPS.contains(&token) && begins_command(&tokens[..at]) => return None,
            _ if is_sleep(token) => {
                // GNU's takes several, and sleeps for their sum.
                let is_argument = |it: &&&str| !is_sign(it) && !it.contains(['<', '>', '#']);
                let unquoted = tokens[at + 1..].iter().filter(|it| !matches!(**it, "'" | "\""));
                for argument in unquoted.take_while(is_argument) {
                    total = Some(total.unwrap_or(0.0) + seconds(argument)?);
                    has_slept = true;
                }
            }
            _ => {}
        }
    }
    total.filter(|total| *total <= f64::from(u32::MAX)).map(|total| total as u32)
}

pub(super) fn is_sleep(word: &str) -> bool {
    word.rsplit('/').next() == Some("sleep")
}

/// Whether a command begins after these words: `for` is one of a sentence too.
fn begins_command(before: &[&str]) -> bool {
    let is_script = |word: &str| word.starts_with('-') && word.ends_with('c');
    before.last().is_none_or(|last| is_sign(last) || BEFORE.contains(last) || is_script(last))
}

fn is_sign(token: &str) -> bool {
    token.starts_with(SIGNS) && !token.contains('>')
}

/// The words and the signs of a part of a command.
fn tokens(part: &str) -> impl Iterator<Item = &str> {
    let mut rest = part;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|it: char| it.is_whitespace() && it != '\n');
        let length = match rest.chars().next()? {
            '&' if rest.starts_with("&&") => 2,
            '&' if rest.starts_with("&>") => 2,
            first if SIGNS.contains(&first) => 1,
            _ => word_length(rest),
        };
        let (token, after) = rest.split_at(length);
        rest = after;
        Some(token)
    })
}

/// Where the word ends that begins here. The `&` of `2>&1` belongs to it.
fn word_length(text: &str) -> usize {
    let mut before = ' ';
    for (at, it) in text.char_indices() {
        let is_of_redirection = it == '&' && matches!(before, '<' | '>');
        if it.is_whitespace() || (SIGNS.contains(&it) && !is_of_redirection) {
            return at;
        }
        before = it;
    }
    text.len()
}

/// What `sleep` makes of its argument: seconds, or a number with a unit.
fn seconds(word: &str) -> Option<f64> {
    let (number, unit) = match word.strip_suffix(['s', 'm', 'h']) {
        Some(number) if word.ends_with('m') => (number, 60.0),
        Some(number) if word.ends_with('h') => (number, 3600.0),
        Some(number) => (number, 1.0),
        None => (word, 1.0),
    };
    let seconds = number.parse::<f64>().ok()? * unit;
    (0.0..=f64::from(u32::MAX)).contains(&seconds).then_some(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_add_up_where_their_number_is_known() {
        let slept_in = [
            ("sleep 5", Some(5)),
            ("/bin/sleep 1.5m", Some(90)),
            ("sleep 0.6; sleep 0.6", Some(1)),
            ("sleep 20; nginx -s quit; sleep 20", Some(40)),
            ("sleep 20 && nginx -s quit && sleep 5", Some(25)),
            ("sleep 20\nnginx -s quit\nsleep 20", Some(40)),
            ("(sleep 20; nginx -s quit)", Some(20)),
            ("if true; then sleep 5; fi", Some(5)),
            ("sleep \"20\" >/dev/null 2>&1", Some(20)),
            ("sleep 20 &>/dev/null; sleep 5", Some(25)),
            ("sleep 5 10", Some(15)),
            ("echo waiting for the end; sleep 15", Some(15)),
            ("echo 'do not sleep'; sleep 15", Some(15)),
            // Loops.
            ("while ! curl -s localhost/drained; do sleep 1; done", None),
            ("until curl -s localhost/drained; do sleep 1; done; sleep 5", None),
            ("for i in 1 2 3 4 5 6; do sleep 10; done", None),
            ("true;while true;do sleep 1;done", None),
            ("timeout 60 sh -c 'while true; do sleep 1; done'", None),
            ("sleep 5 && until true; do sleep 1; done", None),
            // In the background.
            ("sleep 20 & nginx -s quit", None),
            ("sleep 20&", None),
            ("(sleep 20; nginx -s quit) &", None),
            ("sh -c 'sleep 20; true' & true", None),
            ("nginx -s quit & sleep 20", Some(20)),
            ("sleep 20; nginx -s quit &", Some(20)),
            // Not written there.
            ("sleep $DELAY", None),
            ("sleep ${DELAY}; sleep 5", None),
            ("sleep infinity", None),
            ("sleep 4000000000; sleep 4000000000", None),
            ("true", None),
        ];
        for (script, expected) in slept_in {
            let command = ["sh", "-ec", script].map(str::to_owned);
            assert_eq!(slept(&command), expected, "{script}");
        }
    }
}
