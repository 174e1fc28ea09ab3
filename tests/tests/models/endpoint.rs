//! An endpoint whose answers are given byte for byte, by the first segment of the path.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::Value;

/// The answers to reported cases, as the model's own tests have them.
const CASES: &str = include_str!("../../../worker/model/src/remote/tests/cases.json");

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) name: String,
    answers: Vec<String>,
}

impl Case {
    /// Every reported case.
    pub(crate) fn all() -> Vec<Self> {
        serde_json::from_str(CASES).expect("the cases are JSON")
    }

    /// A case that is answered like this, the last answer again.
    pub(crate) fn new(name: &str, answers: &[&str]) -> Self {
        let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
        Self { name: name.to_owned(), answers }
    }

    fn answer(&self, number: usize) -> Vec<u8> {
        let answer = &self.answers[number.min(self.answers.len() - 1)];
        match answer.strip_prefix("base64:") {
            Some(text) => BASE64_STANDARD.decode(text).expect("it is base64"),
            None => answer.as_bytes().to_vec(),
        }
    }
}

/// The requests of each case: path and body.
type Requests = Arc<Mutex<BTreeMap<String, Vec<(String, Value)>>>>;

/// A running endpoint; its threads end with the test's process.
pub(crate) struct Endpoint {
    address: SocketAddr,
    requests: Requests,
}

impl Endpoint {
    pub(crate) fn start(cases: Vec<Case>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let requests = Requests::default();
        let kept = Arc::clone(&requests);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (cases, requests) = (cases.clone(), Arc::clone(&kept));
                // A client that went away is what some tests are about.
                thread::spawn(move || drop(answer(stream, &cases, &requests)));
            }
        });
        Self { address, requests }
    }

    /// `[models.CASE]` of a configuration, with these lines.
    pub(crate) fn model(&self, case: &str, more: &str) -> String {
        let address = self.address;
        let name = name(case);
        format!(
            "\n[models.{name}]\nbase_url = \"http://{address}/{case}/v1\"\nmodel = \"m\"\n{more}\n"
        )
    }

    /// The bodies of requests for replies of a case.
    pub(crate) fn asked(&self, case: &str) -> Vec<Value> {
        let requests = lock(&self.requests);
        let asked = requests.get(case).into_iter().flatten();
        asked.filter(|(path, _)| path.contains("/chat/")).map(|(_, body)| body.clone()).collect()
    }
}

/// The configured name of a case.
pub(crate) fn name(case: &str) -> String {
    case.to_lowercase()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(stream: TcpStream, cases: &[Case], requests: &Requests) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first)?;
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    let case = path.split('/').nth(1).unwrap_or_default();
    let number = {
        let mut requests = lock(requests);
        let before = requests.entry(case.to_owned()).or_default();
        before.push((path.clone(), serde_json::from_slice(&body).unwrap_or_default()));
        before.len() - 1
    };
    let answer = cases.iter().find(|known| known.name == case).map(|case| case.answer(number));
    let mut stream = reader.into_inner();
    stream.write_all(&answer.unwrap_or_default())
}
