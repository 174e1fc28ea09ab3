//! The key goes to the endpoint and nowhere else.

use super::{
    Delta, ask, hello, key_file, model,
    server::{Server, Step, events, status, text},
};
use crate::Model;

const KEY: &str = "sk-proj-0123456789abcdef/+=";

#[tokio::test]
async fn an_endpoint_that_repeats_the_key_is_not_believed_with_it() {
    let escaped = KEY.replace('/', "\\/");
    let answers = [
        status("401 Unauthorized", "", &format!("{{\"error\":{{\"message\":\"bad {escaped}\"}}}}")),
        status("400 Bad Request", "", &format!("no {KEY} here, {KEY}")),
        status("400 Bad Request", "", &format!("{{\"odd\": \"{KEY}\"}}")),
        status("403 Forbidden", "", &format!("{}{KEY}", "x".repeat(490))),
        status("403 Forbidden", "", &KEY.repeat(5000)),
        status("500 Internal Server Error", "", KEY),
        status("302 Found", &format!("location: http://127.0.0.1/{KEY}\r\n"), ""),
        status("200 OK", "", &format!("oops {KEY}")),
        status("200 OK", "", &format!("{{\"choices\": \"{KEY}\"}}")),
        events(&[text("a"), format!("{{\"error\": \"{KEY}\"}}")]),
        events(&[format!("{{\"choices\": \"{KEY}\"}}")]),
        events(&[format!("{{\"error\": {{\"message\": \"{KEY}\", \"code\": 401}}}}")]),
        format!("{KEY}\r\n\r\n"),
    ];
    for answer in answers {
        let server = Server::start(vec![vec![Step::Send(answer.clone().into_bytes())]]).await;
        let (_folder, key) = key_file(KEY);
        let model = model(&server, |settings| {
            settings.key = Some(key);
            settings.retries = 1;
        });
        let (reply, deltas) = ask(&model, &hello()).await;
        let error = reply.unwrap_err();
        let reasons = deltas.iter().filter(|delta| matches!(delta, Delta::Retract { .. }));
        let shown = format!("{error} {error:?} {:?} {model:?}", reasons.collect::<Vec<_>>());
        let debug = format!("{:?}", Model::OpenAi(Box::new(model)));
        for shown in [shown, debug] {
            assert!(!shown.contains("sk-proj-0"), "{shown}\nof {answer}");
        }
        let (_, sent) = server.requests().pop().unwrap();
        assert!(sent.contains(&format!("authorization: Bearer {KEY}\r\n")), "{sent}");
    }
}
