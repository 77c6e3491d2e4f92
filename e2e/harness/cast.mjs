// The process of the participants: LiveKit's SDK for Node, controlled over IPC by `cast.ts`. It is a separate process, so that
// participants can crash (SIGKILL), and so that the SDK's native threads do not prevent the end of the test runner.
import {
  AudioFrame,
  AudioSource,
  ConnectionState,
  dispose,
  LocalAudioTrack,
  LocalVideoTrack,
  Room,
  TrackPublishOptions,
  TrackSource,
  VideoBufferType,
  VideoFrame,
  VideoSource,
} from '@livekit/rtc-node';

const SOURCES = {
  camera: TrackSource.SOURCE_CAMERA,
  microphone: TrackSource.SOURCE_MICROPHONE,
  screen_share: TrackSource.SOURCE_SCREENSHARE,
};
// Small and slow on purpose: ten of these must run beside a browser on two cores.
const [WIDTH, HEIGHT, FRAME_MS] = [160, 96, 200];
const [RATE, AUDIO_MS] = [48_000, 100];

/** @type {Map<string, {room: Room, tracks: Map<string, () => Promise<void>>, data: string[]}>} */
const people = new Map();

function person(id) {
  const found = people.get(id);
  if (!found) throw new Error(`there is no participant ${id}`);
  return found;
}

const commands = {
  async join({ id, url, token }) {
    const room = new Room();
    const entry = { room, tracks: new Map(), data: [] };
    people.set(id, entry);
    room.on('dataReceived', (payload) => entry.data.push(new TextDecoder().decode(payload)));
    await room.connect(url, token, { autoSubscribe: false, dynacast: false });
    return { sid: room.localParticipant.sid };
  },

  async publish({ id, source, name }) {
    const { room, tracks } = person(id);
    const options = new TrackPublishOptions({ source: SOURCES[source], simulcast: source === 'camera' });
    const media = source === 'microphone' ? tone(name ?? source) : picture(name ?? source);
    const publication = await room.localParticipant.publishTrack(media.track, options);
    tracks.set(publication.sid, media.stop);
    return { sid: publication.sid };
  },

  async unpublish({ id, sid }) {
    const { room, tracks } = person(id);
    await room.localParticipant.unpublishTrack(sid);
    await tracks.get(sid)?.();
    tracks.delete(sid);
  },

  async attributes({ id, attributes }) {
    await person(id).room.localParticipant.setAttributes(attributes);
  },

  async others({ id }) {
    return [...person(id).room.remoteParticipants.values()].map((p) => p.identity);
  },

  async connected({ id }) {
    return person(id).room.isConnected;
  },

  async settled({ id }) {
    const { room } = person(id);
    return [ConnectionState.CONN_CONNECTED, ConnectionState.CONN_DISCONNECTED].includes(room.connectionState);
  },

  async data({ id }) {
    return person(id).data;
  },

  async leave({ id }) {
    const { room, tracks } = person(id);
    people.delete(id);
    for (const stop of tracks.values()) await stop();
    await room.disconnect();
  },

  async end() {
    for (const id of [...people.keys()]) await commands.leave({ id }).catch(() => undefined);
    await dispose();
  },
};

function tone(name) {
  const source = new AudioSource(RATE, 1);
  const samples = (RATE * AUDIO_MS) / 1000;
  const data = new Int16Array(samples);
  for (let i = 0; i < samples; i++) data[i] = 8000 * Math.sin((2 * Math.PI * 440 * i) / RATE);
  let stopped = false;
  (async () => {
    // captureFrame resolves when the queue has room: it is its own clock.
    while (!stopped) await source.captureFrame(new AudioFrame(data, RATE, 1, samples)).catch(() => (stopped = true));
  })();
  return {
    track: LocalAudioTrack.createAudioTrack(name, source),
    stop: async () => {
      stopped = true;
      await source.close();
    },
  };
}

function picture(name) {
  const source = new VideoSource(WIDTH, HEIGHT);
  const data = new Uint8Array(WIDTH * HEIGHT * 4);
  let step = 0;
  const timer = setInterval(() => {
    step = (step + 16) % 256;
    data.fill(step);
    source.captureFrame(new VideoFrame(data, WIDTH, HEIGHT, VideoBufferType.RGBA));
  }, FRAME_MS);
  return {
    track: LocalVideoTrack.createVideoTrack(name, source),
    stop: async () => {
      clearInterval(timer);
      await source.close();
    },
  };
}

process.on('message', async ({ call, command, ...args }) => {
  try {
    process.send({ call, value: (await commands[command](args)) ?? null });
  } catch (error) {
    process.send({ call, error: String(error?.message ?? error) });
  }
  if (command === 'end') process.exit(0);
});
process.on('disconnect', () => process.exit(1));
process.send({ ready: true });
