//! As much JSON as the benchmarks' own files need: this crate has no dependencies, so that `cargo xtask` is there at once.

/// A value; `null`, `true` and `false` are of no use here.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Object(Vec<(String, Value)>),
}

/// Lists and objects within one another.
const DEEPEST: usize = 16;

impl Value {
    /// Reads a whole text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader { text, at: 0 };
        let value = reader.value(DEEPEST)?;
        reader.space();
        if reader.at < text.len() { Err(reader.problem("the end")) } else { Ok(value) }
    }

    /// A field of an object.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Object(fields) = self else { return None };
        fields.iter().find(|(name, _)| name == key).map(|(_, value)| value)
    }

    pub(crate) fn number(&self) -> Option<f64> {
        if let Self::Number(number) = self { Some(*number) } else { None }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        if let Self::List(list) = self { Some(list) } else { None }
    }
}

/// A string in JSON.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out + "\""
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn value(&mut self, depth: usize) -> Result<Value, String> {
        self.space();
        match self.rest().chars().next() {
            Some('[' | '{') if depth == 0 => Err(format!("more than {DEEPEST} lists and objects within one another")),
            Some('[') => self.items(']', |reader| reader.value(depth - 1)).map(Value::List),
            Some('{') => self.items('}', |reader| reader.field(depth - 1)).map(Value::Object),
            Some('"') => self.string().map(Value::Text),
            _ => self.number().map(Value::Number),
        }
    }

    /// What is between brackets, of which one opens here.
    fn items<T>(&mut self, end: char, item: impl Fn(&mut Self) -> Result<T, String>) -> Result<Vec<T>, String> {
        self.at += 1;
        let mut items = Vec::new();
        if self.takes(end) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.takes(end) {
                return Ok(items);
            }
            if !self.takes(',') {
                return Err(self.problem(&format!("`,` or `{end}`")));
            }
        }
    }

    fn field(&mut self, depth: usize) -> Result<(String, Value), String> {
        self.space();
        let key = self.string()?;
        if !self.takes(':') {
            return Err(self.problem("`:`"));
        }
        Ok((key, self.value(depth)?))
    }

    fn string(&mut self) -> Result<String, String> {
        if !self.takes('"') {
            return Err(self.problem("a string"));
        }
        let mut out = String::new();
        loop {
            let c = self.next()?;
            match c {
                '"' => return Ok(out),
                '\\' => match self.next()? {
                    'u' => {
                        let code = self.rest().get(..4).and_then(|hex| u32::from_str_radix(hex, 16).ok());
                        out.push(code.and_then(char::from_u32).ok_or_else(|| self.problem("a character's code"))?);
                        self.at += 4;
                    }
                    c @ ('"' | '\\' | '/') => out.push(c),
                    _ => return Err(self.problem("an escape that is known")),
                },
                c => out.push(c),
            }
        }
    }

    fn number(&mut self) -> Result<f64, String> {
        let rest = self.rest();
        let end = rest.find(|c: char| !(c.is_ascii_digit() || "+-.eE".contains(c))).unwrap_or(rest.len());
        let number = rest[..end].parse().map_err(|_| self.problem("a value"))?;
        self.at += end;
        Ok(number)
    }

    fn next(&mut self) -> Result<char, String> {
        let c = self.rest().chars().next().ok_or_else(|| self.problem("the string's end"))?;
        self.at += c.len_utf8();
        Ok(c)
    }

    fn takes(&mut self, c: char) -> bool {
        self.space();
        let is_there = self.rest().starts_with(c);
        self.at += if is_there { c.len_utf8() } else { 0 };
        is_there
    }

    fn space(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn problem(&self, wanted: &str) -> String {
        let line = 1 + self.text[..self.at].matches('\n').count();
        format!("line {line}: {wanted} is wanted before {:?}", self.rest().chars().take(20).collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let text = "σ \"quoted\" \\ \n";
        assert_eq!(Value::parse(&quoted(text)), Ok(Value::Text(text.into())));
        let read = Value::parse(" [ {\"a\": -1.5e-3, \"b\": {}} , []\n] ").unwrap();
        let [object, empty] = read.list().unwrap() else { panic!("{read:?}") };
        assert_eq!(object.get("a").and_then(Value::number), Some(-0.0015));
        assert_eq!((object.get("b"), empty.list()), (Some(&Value::Object(vec![])), Some(&[][..])));
        assert_eq!((object.get("c"), empty.get("a")), (None, None));
    }

    #[test]
    fn what_is_no_json_says_where() {
        for text in [
            "",
            "[",
            "[1",
            "[1,]",
            "{\"a\" 1}",
            "{a: 1}",
            "\"a",
            "\"\\x\"",
            "\"\\u12",
            "\"\\ué\"",
            "[1] 2",
            "1é",
            "nul",
        ] {
            assert!(Value::parse(text).unwrap_err().starts_with("line 1: "), "{text}");
        }
        assert!(Value::parse("[1,\n x]").unwrap_err().starts_with("line 2: "));
        assert!(Value::parse(&"[".repeat(100_000)).unwrap_err().contains("within one another"));
    }
}
