use parking_lot::Mutex;

use super::*;
use crate::PacketError;

/// Packets that were sent, for a server that the test plays.
#[derive(Clone, Debug, Default)]
struct Sent(Arc<Mutex<Vec<Bytes>>>);

impl PacketSink for Sent {
    fn send(&self, packet: Bytes) {
        self.0.lock().push(packet);
    }
}

impl Sent {
    /// Takes the only packet that was sent: its type and identifier.
    fn take(&self) -> (u8, u32) {
        let packet = self.0.lock().pop().expect("a packet was sent");
        (packet[4], u32::from_be_bytes(packet[5..9].try_into().unwrap()))
    }
}

fn reply(kind: u8, id: u32, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let length = u32::try_from(body.len() + 5).unwrap().to_be_bytes();
    [&length[..], &[kind], &id.to_be_bytes(), &body].concat()
}

/// `SSH_FXP_NAME` with these names and empty attributes.
fn names(id: u32, names: &[&str]) -> Vec<u8> {
    let mut body = u32::try_from(names.len()).unwrap().to_be_bytes().to_vec();
    for name in names {
        let length = u32::try_from(name.len()).unwrap().to_be_bytes();
        body.extend([&length[..], name.as_bytes(), &[0; 4], &[0; 4]].concat());
    }
    reply(104, id, &[&body])
}

/// A client of a server without extensions that says its home is this.
async fn client(home: &[&str]) -> Result<(Client<Sent>, Incoming<Sent>, Sent), Error> {
    let sent = Sent::default();
    let (handshake, mut incoming) = Handshake::start(sent.clone());
    assert_eq!(sent.take(), (1, VERSION));
    incoming.push(&reply(2, VERSION, &[])).unwrap();
    let server = handshake.server().await.unwrap();
    let answer = async {
        let (kind, id) = sent.take();
        assert_eq!(kind, RequestType::Realpath as u8);
        incoming.push(&names(id, home)).unwrap();
    };
    let (client, ()) = tokio::join!(biased; server.client(sent.clone()), answer);
    Ok((client?, incoming, sent))
}

#[tokio::test]
async fn the_home_is_what_the_server_says() {
    let (client, ..) = client(&["/data/it's me"]).await.unwrap();
    assert_eq!(client.home().as_bytes(), b"/data/it's me");
    assert_eq!(self::client(&[]).await.unwrap_err(), Error::NoHome);
    assert_eq!(self::client(&["/a", "/b"]).await.unwrap_err(), Error::NoHome);
}

#[tokio::test]
async fn a_channel_that_ends_fails_what_waits_and_what_comes_later() {
    let (client, mut incoming, _) = client(&["/"]).await.unwrap();
    let end = async { incoming.close("cut") };
    let (found, ()) = tokio::join!(biased; client.stat(b"x"), end);
    assert_eq!(found, Err(Error::Closed("cut".to_owned())));
    assert_eq!(client.stat(b"x").await, Err(Error::Closed("cut".to_owned())));
}

#[tokio::test]
async fn a_handle_that_nobody_waits_for_is_closed() {
    let (client, mut incoming, sent) = client(&["/"]).await.unwrap();
    let opened = async { client.open_file(b"x").await.map(drop) };
    let given_up = async { sent.take() };
    let id = tokio::select! {
        biased;
        opened = opened => panic!("{opened:?}"),
        (kind, id) = given_up => {
            assert_eq!(kind, RequestType::Open as u8);
            id
        }
    };
    incoming.push(&reply(102, id, &[&[0, 0, 0, 1], b"h"])).unwrap();
    assert_eq!(sent.take().0, RequestType::Close as u8);
}

#[tokio::test]
async fn a_server_that_answers_without_end_is_left() {
    let (client, mut incoming, sent) = client(&["/"]).await.unwrap();
    let reading = async {
        let listed = client.read_folder(b"x", 1000).await;
        assert_eq!(listed.unwrap_err(), Error::Endless);
    };
    let answering = async {
        let (_, id) = sent.take();
        incoming.push(&reply(102, id, &[&[0, 0, 0, 1], b"h"])).unwrap();
        for _ in 0..=EMPTY_REPLIES {
            tokio::task::yield_now().await;
            let (kind, id) = sent.take();
            assert_eq!(kind, RequestType::Readdir as u8);
            incoming.push(&names(id, &[".", ".."])).unwrap();
        }
    };
    tokio::join!(biased; reading, answering);
}

#[tokio::test]
async fn what_was_not_asked_is_refused_and_costs_nothing() {
    let (_, mut incoming, sent) = client(&["/"]).await.unwrap();
    // One that is taken for a file's would be closed, by a packet that nobody may read.
    for (kind, id) in [(102, 7777), (102, u32::MAX), (105, 7777), (2, VERSION)] {
        let answered = incoming.push(&reply(kind, id, &[&[0, 0, 0, 0], &[0; 4]]));
        let is_known = matches!(answered, Err(PacketError::Unasked | PacketError::Malformed));
        assert!(is_known, "{kind} {id}: {answered:?}");
    }
    incoming.push(&reply(101, u32::MAX, &[&[0; 4]])).unwrap();
    assert!(sent.0.lock().is_empty());
}

#[tokio::test]
async fn a_server_that_takes_a_byte_at_a_time_gets_no_million_requests() {
    for (limit, expected) in [(1, MIN_DATA_BYTES), (65_536, 65_536), (u64::MAX, MAX_DATA_BYTES)] {
        let sent = Sent::default();
        let (handshake, mut incoming) = Handshake::start(sent.clone());
        sent.take();
        let extension = [&[0, 0, 0, 18][..], b"limits@openssh.com", &[0, 0, 0, 1], b"1"].concat();
        incoming.push(&reply(2, VERSION, &[&extension])).unwrap();
        let server = handshake.server().await.unwrap();
        let answer = async {
            let (_, id) = sent.take();
            incoming.push(&names(id, &["/"])).unwrap();
            tokio::task::yield_now().await;
            let (kind, id) = sent.take();
            assert_eq!(kind, RequestType::Extended as u8);
            let limits = [0, limit, limit, 0].map(u64::to_be_bytes).concat();
            incoming.push(&reply(201, id, &[&limits])).unwrap();
        };
        let (client, ()) = tokio::join!(biased; server.client(sent.clone()), answer);
        assert_eq!(client.unwrap().requests.limits.read_bytes, expected, "{limit}");
    }
}
