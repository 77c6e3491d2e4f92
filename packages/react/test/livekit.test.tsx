import { QueryClient } from '@tanstack/react-query';
import { act, cleanup, renderHook } from '@testing-library/react';
import { EventSource } from 'eventsource';
import type { ReactNode } from 'react';
import { describe, expect, it, vi } from 'vitest';
import { type RoomConnectionOptions, useRoomConnection } from '../src/hooks/useRoomConnection';
import { RoomwatchProvider } from '../src/index';
import { atEnd } from './cleanup';
import { fail, TestServer } from './server';
import { until } from './tab';

type Listener = (...args: unknown[]) => void;

/**
 * Double of LiveKit's client, which needs WebRTC. It has the parts that the hook uses. The end-to-end tests run the hook
 * with the real client and a real server.
 */
const fake = vi.hoisted(() => {
  type Reader = AsyncIterable<string> & { info: { id: string; attributes?: Record<string, string> } };
  class Room {
    static readonly all: Room[] = [];
    /** Promise that `connect` waits for. */
    static gate: Promise<void> = Promise.resolve();
    readonly listeners = new Map<string, Listener[]>();
    readonly remoteParticipants = new Map<string, unknown>();
    activeSpeakers: { identity: string }[] = [];
    readonly localParticipant = { identity: 'roomwatch:ada:1' };
    readonly connected: [string, string][] = [];
    readonly topics = new Map<string, (reader: Reader, sender: { identity: string }) => Promise<void>>();
    disconnects = 0;

    registerTextStreamHandler(topic: string, handler: (reader: Reader, sender: { identity: string }) => Promise<void>) {
      this.topics.set(topic, handler);
    }

    constructor() {
      Room.all.push(this);
    }

    on(event: string, listener: Listener) {
      this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
    }

    emit(event: string, ...args: unknown[]) {
      for (const listener of this.listeners.get(event) ?? []) listener(...args);
    }

    async connect(url: string, token: string) {
      this.connected.push([url, token]);
      await Room.gate;
    }

    async disconnect() {
      this.disconnects++;
      this.emit('disconnected', 1);
    }
  }
  return { Room };
});

vi.mock('livekit-client', async (original) => ({ ...(await original<object>()), Room: fake.Room }));

const TOKEN = 'POST /api/rooms/standup/token';

async function setUp(initial: { name: string | null; options?: RoomConnectionOptions } = { name: 'standup' }) {
  fake.Room.all.length = 0;
  fake.Room.gate = Promise.resolve();
  const server = await TestServer.start();
  for (const name of ['standup', 'retro']) {
    server.answers.set(`POST /api/rooms/${name}/token`, () => ({
      status: 200,
      body: { url: 'wss://livekit.test', token: `for ${name}`, identity: 'roomwatch:ada:1' },
    }));
  }
  const wrapper = ({ children }: { children: ReactNode }) => (
    <RoomwatchProvider
      url={server.url}
      queryClient={new QueryClient()}
      EventSource={EventSource as typeof globalThis.EventSource}
    >
      {children}
    </RoomwatchProvider>
  );
  const drawn: [name: string | null, status: string][] = [];
  const draw = (props: typeof initial) => {
    const connection = useRoomConnection(props.name, props.options);
    drawn.push([props.name, connection.status]);
    return connection;
  };
  const rendered = renderHook(draw, { initialProps: initial, wrapper, reactStrictMode: true });
  atEnd(cleanup);
  return { server, drawn, ...rendered };
}

const media = { attach: vi.fn(), detach: vi.fn() };

function ada(publication: object = {}) {
  const track = {
    trackSid: 'TR_1',
    kind: 'video',
    source: 'camera',
    isMuted: false,
    dimensions: { width: 640, height: 360 },
    track: media,
    ...publication,
  };
  return {
    sid: 'PA_1',
    identity: 'ada',
    name: 'Ada',
    kind: 4,
    joinedAt: new Date(5),
    isSpeaking: true,
    audioLevel: 0.5,
    connectionQuality: 'good',
    trackPublications: new Map([['TR_1', track]]),
  };
}

describe('useRoomConnection', () => {
  it('asks for one token, joins once, and returns the room', async () => {
    const { server, result } = await setUp({ name: 'standup', options: { reason: 'ticket 7' } });
    await until(() => expect(result.current.status).toBe('connected'));
    expect(server.count(TOKEN)).toBe(1);
    expect(server.requests.find(({ line }) => line === TOKEN)?.body).toEqual({ reason: 'ticket 7' });
    expect(fake.Room.all).toHaveLength(1);
    const [room] = fake.Room.all;
    expect(room?.connected).toEqual([['wss://livekit.test', 'for standup']]);
    expect(result.current).toMatchObject({ identity: 'roomwatch:ada:1', participants: [], error: null });
    expect(result.current.since).toBeGreaterThan(0);

    room?.remoteParticipants.set('ada', ada());
    if (room) room.activeSpeakers = [{ identity: 'ada' }];
    act(() => room?.emit('participantConnected'));
    await until(() => expect(result.current.participants).toHaveLength(1));
    expect(result.current.speakers).toEqual(['ada']);
    expect(result.current.participants[0]).toMatchObject({
      sid: 'PA_1',
      identity: 'ada',
      name: 'Ada',
      kind: 'agent',
      joinedAt: 5,
      speaking: true,
      audioLevel: 0.5,
      quality: 'good',
      tracks: [
        { sid: 'TR_1', kind: 'video', source: 'camera', muted: false, subscribed: true, width: 640, height: 360 },
      ],
    });
  });

  it('returns the same attach while the media is the same', async () => {
    const { result } = await setUp();
    await until(() => expect(result.current.status).toBe('connected'));
    const [room] = fake.Room.all;
    room?.remoteParticipants.set('ada', ada());
    act(() => room?.emit('trackSubscribed'));
    await until(() => expect(result.current.participants).toHaveLength(1));
    const first = result.current.participants[0]?.tracks[0];
    room?.remoteParticipants.set('ada', ada({ isMuted: true }));
    act(() => room?.emit('trackMuted'));
    await until(() => expect(result.current.participants[0]?.tracks[0]?.muted).toBe(true));
    expect(result.current.participants[0]?.tracks[0]?.attach).toBe(first?.attach);
    const element = document.createElement('video');
    const detach = first?.attach(element);
    expect(media.attach).toHaveBeenCalledWith(element);
    detach?.();
    expect(media.detach).toHaveBeenCalledWith(element);
  });

  it('leaves on unmount, also while it is joining', async () => {
    const { result, unmount } = await setUp();
    await until(() => expect(result.current.status).toBe('connected'));
    unmount();
    await until(() => expect(fake.Room.all[0]?.disconnects).toBe(1));

    let join = () => {};
    const second = await setUp();
    fake.Room.gate = new Promise<void>((resolve) => (join = resolve));
    await until(() => expect(fake.Room.all[0]?.connected).toHaveLength(1));
    second.unmount();
    join();
    await until(() => expect(fake.Room.all[0]?.disconnects).toBeGreaterThan(0));
  });

  it('leaves one room before it joins another', async () => {
    const { result, rerender } = await setUp();
    await until(() => expect(result.current.status).toBe('connected'));
    rerender({ name: 'retro' });
    await until(() => expect(fake.Room.all[1]?.connected).toEqual([['wss://livekit.test', 'for retro']]));
    expect(fake.Room.all[0]?.disconnects).toBe(1);
    await until(() => expect(result.current.status).toBe('connected'));
    rerender({ name: null });
    await until(() => expect(result.current.status).toBe('idle'));
    expect(fake.Room.all[1]?.disconnects).toBe(1);
  });

  it('shows no frame of one room under the name of another', async () => {
    const { result, drawn, rerender } = await setUp();
    await until(() => expect(result.current.status).toBe('connected'));
    rerender({ name: 'retro' });
    await until(() => expect(result.current.status).toBe('connected'));
    rerender({ name: null });
    const statuses = (name: string | null) => new Set(drawn.flatMap(([of, status]) => (of === name ? status : [])));
    expect([...statuses('retro')]).toEqual(['idle', 'connecting', 'connected']);
    expect([...statuses(null)]).toEqual(['idle']);
  });

  it('returns the error code of a refused token, and can try again', async () => {
    const { server, result } = await setUp({ name: null });
    const granted = server.answers.get(TOKEN);
    server.answers.set(TOKEN, () => fail(409, 'livekit_url_missing'));
    const { result: watched } = await act(async () => {
      cleanup();
      const wrapper = ({ children }: { children: ReactNode }) => (
        <RoomwatchProvider
          url={server.url}
          queryClient={new QueryClient()}
          EventSource={EventSource as typeof globalThis.EventSource}
        >
          {children}
        </RoomwatchProvider>
      );
      return renderHook(() => useRoomConnection('standup'), { wrapper });
    });
    await until(() => expect(watched.current.status).toBe('failed'));
    expect(watched.current.error).toMatchObject({ code: 'livekit_url_missing', status: 409 });
    if (granted) server.answers.set(TOKEN, granted);
    act(() => watched.current.reconnect());
    await until(() => expect(watched.current.status).toBe('connected'));
    expect(watched.current.error).toBeNull();
    expect(result.current.status).toBe('idle');
  });

  it('reports reconnecting, and the reason of a disconnect', async () => {
    const { result } = await setUp();
    await until(() => expect(result.current.status).toBe('connected'));
    const [room] = fake.Room.all;
    act(() => room?.emit('reconnecting'));
    expect(result.current.status).toBe('reconnecting');
    act(() => room?.emit('reconnected'));
    expect(result.current.status).toBe('connected');
    act(() => room?.emit('disconnected', 4));
    expect(result.current).toMatchObject({
      status: 'disconnected',
      disconnectReason: 'PARTICIPANT_REMOVED',
      participants: [],
    });
    act(() => result.current.reconnect());
    await until(() => expect(fake.Room.all).toHaveLength(2));
    await until(() => expect(result.current.status).toBe('connected'));
  });

  it('keeps the last 200 data messages, text and binary', async () => {
    const { result } = await setUp();
    await until(() => expect(result.current.status).toBe('connected'));
    act(() => {
      for (let n = 0; n < 205; n++)
        fake.Room.all[0]?.emit('dataReceived', new TextEncoder().encode(`m${n}`), { identity: 'ada' }, 0, 'chat');
      fake.Room.all[0]?.emit('dataReceived', new Uint8Array([0xff, 0xfe]));
    });
    expect(result.current.messages).toHaveLength(200);
    expect(result.current.messages.at(-2)).toMatchObject({ from: 'ada', topic: 'chat', text: 'm204' });
    expect(result.current.messages.at(-1)).toMatchObject({ from: null, topic: null, text: null });
  });

  it('returns the transcription: a segment is replaced until it is final, with the speaker of its track', async () => {
    const { result } = await setUp();
    await until(() => expect(result.current.status).toBe('connected'));
    const [room] = fake.Room.all;
    room?.remoteParticipants.set('ada', ada());
    const say = (chunks: string[], attributes: Record<string, string>, from = 'agent', breaks = false) => {
      const info = { id: 'stream', attributes };
      const text = async function* () {
        yield* chunks;
        if (breaks) throw new Error('the sender has left');
      };
      const reader = Object.assign(text(), { info });
      return act(async () => room?.topics.get('lk.transcription')?.(reader, { identity: from }));
    };
    const track = { 'lk.transcribed_track_id': 'TR_1' };
    await say(['can '], { ...track, 'lk.segment_id': 'SG_1', 'lk.transcription_final': 'false' });
    expect(result.current.transcript).toMatchObject([{ from: 'ada', name: 'Ada', text: 'can ', final: false }]);
    await say(['can you ', 'hear?'], { ...track, 'lk.segment_id': 'SG_1', 'lk.transcription_final': 'true' });
    // Late words of an earlier guess change nothing.
    await say(['can yo'], { ...track, 'lk.segment_id': 'SG_1', 'lk.transcription_final': 'false' });
    await say(['yes', ' I'], {}, 'agent', true);
    expect(result.current.transcript).toMatchObject([
      { from: 'ada', text: 'can you hear?', final: true },
      { from: 'agent', name: '', text: 'yes I', final: false },
    ]);
    await say(['x'.repeat(5_000)], { 'lk.segment_id': 'SG_2' });
    expect(result.current.transcript.at(-1)?.text).toHaveLength(4_000);
    for (let n = 0; n < 205; n++) await say(['word'], { 'lk.segment_id': `SG_${n + 10}` });
    expect(result.current.transcript).toHaveLength(200);
    expect(result.current.messages).toEqual([]);
  });

  it('asks for the lowest layer of each video with lowVideo, and else leaves it to the size', async () => {
    const { result } = await setUp({ name: 'standup', options: { lowVideo: true } });
    await until(() => expect(result.current.status).toBe('connected'));
    const publication = (kind: string) => ({ kind, setVideoQuality: vi.fn() });
    const [video, audio] = [publication('video'), publication('audio')];
    act(() => fake.Room.all[0]?.emit('trackSubscribed', media, video));
    act(() => fake.Room.all[0]?.emit('trackSubscribed', media, audio));
    // VideoQuality.LOW
    expect(video.setVideoQuality.mock.calls).toEqual([[0]]);
    expect(audio.setVideoQuality).not.toHaveBeenCalled();

    const other = await setUp();
    await until(() => expect(other.result.current.status).toBe('connected'));
    const full = publication('video');
    act(() => fake.Room.all[0]?.emit('trackSubscribed', media, full));
    expect(full.setVideoQuality).not.toHaveBeenCalled();
  });

  it("joins with the app's own token, without a provider", async () => {
    fake.Room.all.length = 0;
    const { result } = renderHook(() => useRoomConnection('standup', { url: 'wss://own.test', token: 'own' }));
    atEnd(cleanup);
    await until(() => expect(result.current.status).toBe('connected'));
    expect(fake.Room.all[0]?.connected).toEqual([['wss://own.test', 'own']]);
  });
});
