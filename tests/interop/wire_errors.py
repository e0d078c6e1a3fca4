"""What the broker answers to bytes no client library sends, over a bare socket.

The expectations are what RabbitMQ 3.10.8 was seen to answer. Where it answers with
nothing but the end of the connection, or with an internal error, a broker may be
better: such cases name all answers they take, and these are the deliberate ones.

- Unknown classes and methods, and tables with unknown types or values cut short: 3.10
  drops the connection without a word. A connection.close with 501, 502, 503 or 540 is
  taken as well.
- A content header whose properties cannot be read: 3.10 says 541 without a text; 501
  and 502 are taken as well.
- More body than the header announced: 3.10 waits for ever. 501 or 505 are taken as well;
  in either case nothing may be routed.
- Limits out of range while tuning and an unknown mechanism: 3.10 drops the connection
  after three silent seconds. connection.close with 530 or 503 is taken as well.
- Tables nested thousands deep: 3.10 takes them. A refusal is taken as well, as long as
  the broker lives on.
- A frame may be up to eight bytes longer than agreed in 3.10. The case that wants a
  refusal goes further over the limit.
"""

# Importing a file of cases names them.
from harness.cases import main
from wire_cases import contents, frames, handshake, heartbeats, methods, tables  # noqa: F401

if __name__ == "__main__":
    main()
