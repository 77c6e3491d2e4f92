"""Calls every route with a generated client, and compares what it reads with what was sent.

Arguments: the folder of the package `client`, the URL of the server, and JSON with `password`, `room`, `identity`, `sid`
(of a track) and `session`. Prints a JSON object with a line for each route.
"""

import importlib
import json
import sys

folder, url, given = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
sys.path.insert(0, folder)
from client import Client, models

ROOM = {"room": given["room"]}
PERSON = {**ROOM, "identity": given["identity"]}

# In this order: the last commands end what the others are about.
CALLS = [
    ("access.login", {"body": models.Credentials(password=given["password"])}),
    ("access.me", {}),
    ("projects.projects", {}),
    ("projects.test_webhook", {"project": "default"}),
    ("webhooks.receive", {"body": {}}),
    ("events.events", {"after": "start", "limit": 1000}),
    ("rooms.rooms", {}),
    ("rooms.room", ROOM),
    ("rooms.participants", ROOM),
    ("history.sessions", {}),
    ("history.session", {"sid": given["session"]}),
    ("history.cloud_sessions", {"id": "default"}),
    ("history.cloud_session", {"id": "default", "sid": given["session"]}),
    ("history.participant", {"identity": given["identity"]}),
    ("history.activity", {}),
    ("history.search", {"q": given["identity"]}),
    ("history.egress", {}),
    ("history.calls", {}),
    ("history.agents", {}),
    ("history.usage", {}),
    ("commands.create_room", {"body": models.CreateRoom(name="made by the client", metadata="m")}),
    ("commands.update_room", {**ROOM, "body": models.UpdateRoom(metadata="changed")}),
    ("commands.update_participant", {**PERSON, "body": models.UpdateParticipant(name="Changed")}),
    ("commands.mute_track", {**PERSON, "sid": given["sid"], "body": models.MuteTrack(muted=True)}),
    ("commands.send_data", {**ROOM, "body": models.SendData(text="hello")}),
    # The configuration has no preset, and this LiveKit has no egress.
    ("commands.start_egress", {"body": models.StartEgress(preset="none")}),
    ("commands.stop_egress", {"id": "EG_none"}),
    ("commands.ingress", {}),
    ("commands.create_dispatch", {**ROOM, "body": models.CreateDispatch(agent_name="support")}),
    ("commands.dispatches", ROOM),
    ("commands.delete_dispatch", {**ROOM, "id": "AD_none"}),
    ("commands.watch_room", {**ROOM, "body": models.WatchRoom(reason="a test")}),
    # No condition is open.
    ("attention.attention", {}),
    ("attention.acknowledge", {"id": "none", "body": models.Acknowledge(reason="a test")}),
    ("attention.unacknowledge", {"id": "none"}),
    ("audit.audit", {}),
    ("commands.remove_participant", PERSON),
    ("commands.delete_room", ROOM),
    ("access.logout", {}),
]

client = Client(base_url=url, headers={"Accept": "application/json"})
result = {}
for name, arguments in CALLS:
    module = importlib.import_module(f"client.api.{name}")
    answer = module.sync_detailed(client=client, **arguments)
    told = f"{int(answer.status_code)}"
    if answer.parsed is not None:
        sent = json.loads(answer.content)
        told += " the same" if answer.parsed.to_dict() == sent else f" read {answer.parsed.to_dict()}, sent {sent}"
    result[name.split(".")[1]] = told
print(json.dumps(result))
