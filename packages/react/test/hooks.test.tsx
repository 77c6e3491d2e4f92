import { QueryClient, useQueries, useQuery } from '@tanstack/react-query';
import { act, cleanup, renderHook } from '@testing-library/react';
import { EventSource } from 'eventsource';
import type { ReactNode } from 'react';
import { describe, expect, it, vi } from 'vitest';
import {
  type ConnectionState,
  type Message,
  type Participant,
  RoomwatchProvider,
  type RoomwatchProviderProps,
  useConnection,
  useCreateRoom,
  useDeleteRoom,
  useMuteTrack,
  useProjects,
  useRealtimeEvents,
  useRemoveParticipant,
  useRoom,
  useRoomParticipants,
  useRooms,
  useSession,
  useUpdateParticipant,
  useUpdateRoom,
} from '../src/index';
import { atEnd } from './cleanup';
import { fail, gone, patch, person, room, set, TestServer } from './server';
import { clock, until } from './tab';

function render<T>(server: TestServer, hook: () => T, props: Partial<RoomwatchProviderProps> = {}) {
  const queryClient = props.queryClient ?? new QueryClient();
  const wrapper = ({ children }: { children: ReactNode }) => (
    <RoomwatchProvider
      url={server.url}
      queryClient={queryClient}
      EventSource={EventSource as typeof globalThis.EventSource}
      {...props}
    >
      {children}
    </RoomwatchProvider>
  );
  const rendered = renderHook(hook, { wrapper, reactStrictMode: true });
  atEnd(() => {
    cleanup();
    queryClient.clear();
  });
  return { ...rendered, queryClient };
}

/** Sends a ping and waits until it has arrived: only then may the clock jump. */
async function heartbeat(server: TestServer, connection: () => ConnectionState) {
  server.ping();
  await until(() => expect(connection().cursor).toBe(server.cursor()));
}

async function meeting() {
  const server = await TestServer.start();
  const standup = room('standup', { participantCount: 1 });
  const ada = person(standup, 'ada', {
    tracks: [
      {
        sid: 'TR_1',
        name: 'mic',
        type: 'audio',
        source: 'microphone',
        muted: false,
        width: 0,
        height: 0,
        simulcast: false,
        mimeType: 'audio/opus',
        publishedAt: 1,
      },
    ],
  });
  server.publish('room_started', standup, set(standup));
  server.publish('participant_joined', standup, set(ada));
  return { server, standup, ada };
}

describe('queries that follow the stream', () => {
  it('list, then follow the stream, and fetch nothing more', async () => {
    const { server, standup, ada } = await meeting();
    const { result, queryClient } = render(server, () => ({
      rooms: useRooms(),
      room: useRoom('standup'),
      people: useRoomParticipants('standup'),
      connection: useConnection(),
    }));
    await until(() => expect(result.current.people.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    await until(() => expect(result.current.rooms.data).toHaveLength(1));
    await until(() => expect(result.current.room.data?.name).toBe('standup'));
    const asked = server.requests.length;

    const bob = person(standup, 'bob');
    await act(async () => {
      server.publish('participant_joined', standup, set(bob), patch(standup, { participantCount: 2 }));
      await until(() => expect(result.current.people.data).toHaveLength(2));
    });
    expect(result.current.rooms.data?.[0]).toMatchObject({ participantCount: 2, lastEventAt: 1_787_486_400_003 });
    expect(result.current.room.data?.participantCount).toBe(2);

    const retro = room('retro');
    await act(async () => {
      server.publish('room_started', retro, set(retro));
      await until(() => expect(result.current.rooms.data?.map(({ name }) => name)).toEqual(['standup', 'retro']));
    });
    await act(async () => {
      server.publish('participant_left', standup, gone(ada), patch(standup, { participantCount: 1 }));
      server.publish('room_finished', standup, gone(bob), gone(standup));
      await until(() => expect(result.current.room.data).toBeNull());
    });
    await until(() => expect(result.current.people.data).toEqual([]));
    await until(() => expect(result.current.rooms.data?.map(({ name }) => name)).toEqual(['retro']));
    expect(server.requests.length).toBe(asked);
    expect(queryClient.getQueryData(['rooms'])).toMatchObject({ rooms: [{ name: 'retro' }] });
    expect(queryClient.getQueryData(['participants', 'standup'])).toMatchObject({ participants: [] });
  });

  it('keep the identity of unchanged rooms', async () => {
    const { server, standup } = await meeting();
    const retro = room('retro');
    server.publish('room_started', retro, set(retro));
    const { result } = render(server, () => ({ rooms: useRooms(), connection: useConnection() }));
    await until(() => expect(result.current.rooms.data).toHaveLength(2));
    await until(() => expect(result.current.connection.status).toBe('live'));
    const before = result.current.rooms.data;
    await act(async () => {
      server.publish('room_updated', standup, patch(standup, { metadata: 'x' }));
      await until(() => expect(result.current.rooms.data?.[0]?.metadata).toBe('x'));
    });
    expect(result.current.rooms.data?.[1]).toBe(before?.[1]);
  });

  it('return null for a room that is not live, and its next session when it starts', async () => {
    const server = await TestServer.start();
    const { result } = render(server, () => ({ room: useRoom('standup'), people: useRoomParticipants('standup') }));
    await until(() => expect(result.current.room.data).toBeNull());
    expect(result.current.room.error).toBeNull();
    await until(() => expect(server.streams.size).toBe(1));
    const standup = room('standup', { sid: 'RM_2' });
    await act(async () => {
      server.publish('room_started', standup, set(standup));
      server.publish('participant_joined', standup, set(person(standup, 'ada')));
      await until(() => expect(result.current.people.data).toHaveLength(1));
    });
    await until(() => expect(result.current.room.data?.sid).toBe('RM_2'));
  });

  it('return the other live session of a name when the newest has ended', async () => {
    const { server, standup } = await meeting();
    const later = room('standup', { sid: 'RM_later', startedAt: (standup.startedAt ?? 0) + 1 });
    const { result } = render(server, () => ({
      room: useRoom('standup'),
      people: useRoomParticipants('standup'),
      connection: useConnection(),
    }));
    await until(() => expect(result.current.people.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    const first = server.rooms.get(standup.sid);
    await act(async () => {
      // The server answers with the newest session: in the test server, the only one.
      server.rooms.clear();
      server.publish('room_started', later, set(later));
      await until(() => expect(result.current.room.data?.sid).toBe('RM_later'));
      await until(() => expect(result.current.people.data).toEqual([]));
      server.publish('participant_joined', later, set(person(later, 'bob')));
      await until(() => expect(result.current.people.data?.map(({ identity }) => identity)).toEqual(['bob']));
      if (first) server.rooms.set(first.sid, first);
      server.publish('room_finished', later, gone(person(later, 'bob')), gone(later));
      await until(() => expect(result.current.people.data?.map(({ identity }) => identity)).toEqual(['ada']));
      await until(() => expect(result.current.room.data?.sid).toBe(standup.sid));
    });
  });

  it('lose no event that arrives while the snapshot is pending, and apply none twice', async () => {
    const { server, standup } = await meeting();
    let answer = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { result, queryClient } = render(server, () => ({
      people: useRoomParticipants('standup'),
      connection: useConnection(),
    }));
    const cached = () =>
      queryClient.getQueryData<{ participants: Participant[] }>(['participants', 'standup'])?.participants;
    await until(() => expect(result.current.people.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    // The answer is made now and arrives after three more events.
    const cursor = server.cursor();
    const participants = [...server.people.values()];
    server.answers.set('GET /api/rooms/standup/participants', async () => {
      await held;
      return { status: 200, body: { cursor, roomSid: standup.sid, participants } };
    });
    await act(async () => {
      const fetching = result.current.people.refetch();
      await until(() => expect(server.count('GET /api/rooms/standup/participants')).toBe(2));
      server.publish('participant_joined', standup, set(person(standup, 'bob')));
      server.publish('participant_joined', standup, set(person(standup, 'cleo')));
      server.publish('participant_left', standup, gone(person(standup, 'ada')));
      await until(() => expect(cached()?.map(({ identity }) => identity)).toEqual(['bob', 'cleo']));
      answer();
      await fetching;
    });
    expect(cached()?.map(({ identity }) => identity)).toEqual(['bob', 'cleo']);
    await until(() => expect(result.current.people.data).toBe(cached()));
  });

  it.each([['before'], ['after']])(
    'fetches again a snapshot that is older than the stream and comes %s it',
    async (order) => {
      const { server } = await meeting();
      const body = { cursor: server.cursor(1), rooms: [] };
      let asked = 0;
      server.answers.set('GET /api/rooms', async () => {
        if (++asked > 1) return { status: 200, body: { cursor: server.cursor(), rooms: [...server.rooms.values()] } };
        // Before the stream has started, or after.
        if (order === 'after') await until(() => expect(status).toBe('live'));
        return { status: 200, body };
      });
      let status = '';
      if (order === 'before') server.hold();
      const { result } = render(server, () => {
        status = useConnection().status;
        return useRooms();
      });
      if (order === 'before') {
        await until(() => expect(result.current.data).toEqual([]));
        server.letGo();
      }
      await until(() => expect(result.current.data).toHaveLength(1));
      expect(asked).toBe(2);
    },
  );

  it('fetch their snapshots again on a reset', async () => {
    const { server } = await meeting();
    const resets: string[] = [];
    const { result } = render(server, () => {
      useRealtimeEvents({ onReset: (reason) => resets.push(reason) });
      return { rooms: useRooms(), people: useRoomParticipants('standup'), connection: useConnection() };
    });
    await until(() => expect(result.current.rooms.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    const retro = room('retro');
    server.restore();
    server.rooms.clear();
    server.people.clear();
    server.publish('room_started', retro, set(retro));
    await act(async () => {
      server.cut();
      await until(() => expect(result.current.rooms.data?.map(({ name }) => name)).toEqual(['retro']));
      await until(() => expect(result.current.people.data).toEqual([]));
    });
    expect(resets).toEqual(['unknown_epoch']);
    await act(async () => {
      server.publish('room_updated', retro, patch(retro, { metadata: 'after' }));
      await until(() => expect(result.current.rooms.data?.[0]?.metadata).toBe('after'));
    });
  });

  it('catch up after a break without a request', async () => {
    const { server, standup } = await meeting();
    const { result } = render(server, () => ({ people: useRoomParticipants('standup'), connection: useConnection() }));
    await until(() => expect(result.current.people.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    const asked = server.requests.length;
    server.cut();
    server.publish('participant_joined', standup, set(person(standup, 'bob')));
    await act(async () => {
      await until(() => expect(result.current.people.data).toHaveLength(2));
    });
    expect(server.requests.length).toBe(asked);
  });

  it('poll while the stream is down for more than 3 s, and stop when it is back', async () => {
    clock();
    const { server } = await meeting();
    const { result } = render(server, () => ({ rooms: useRooms(), connection: useConnection() }), {
      pollInterval: 60_000,
    });
    await until(() => expect(result.current.rooms.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    const polls = () => server.count('GET /api/rooms');
    const before = polls();
    // Pages poll at different times, within two seconds: here after one second.
    vi.spyOn(Math, 'random').mockReturnValue(0.5);
    atEnd(() => vi.restoreAllMocks());
    server.refuse = { status: 502 };
    await act(async () => {
      server.cut();
      await until(() => expect(result.current.connection.status).toBe('connecting'));
      expect(polls()).toBe(before);
      await until(() => expect(result.current.connection.status).toBe('polling'));
      await vi.advanceTimersByTimeAsync(800);
      expect(polls()).toBe(before);
      await vi.advanceTimersByTimeAsync(300);
      await until(() => expect(polls()).toBe(before + 1));
      expect(server.opened.length).toBeGreaterThan(1);
      await vi.advanceTimersByTimeAsync(20_000);
      expect(polls()).toBe(before + 1);
      // The next poll returns what happened meanwhile.
      server.rooms.set('RM_retro', room('retro'));
      await vi.advanceTimersByTimeAsync(41_000);
      await until(() => expect(polls()).toBeGreaterThanOrEqual(before + 2));
      await until(() => expect(result.current.rooms.data).toHaveLength(2));
    });
    server.refuse = null;
    await act(async () => {
      result.current.connection.retry();
      await until(() => expect(result.current.connection.status).toBe('live'));
    });
    const atLast = polls();
    await act(async () => {
      for (let n = 0; n < 3; n++) {
        await vi.advanceTimersByTimeAsync(20_000);
        await heartbeat(server, () => result.current.connection);
      }
    });
    expect(polls()).toBe(atLast);
  });

  it('are stale if the polls fail too, and recover by themselves', async () => {
    const { server } = await meeting();
    const { result } = render(server, () => ({ rooms: useRooms(), connection: useConnection() }), {
      pollInterval: 500,
    });
    await until(() => expect(result.current.rooms.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    await server.close();
    await until(() => expect(result.current.connection.status).toBe('stale'));
    expect(result.current.rooms.data).toHaveLength(1);
    await server.listen();
    await until(() => expect(result.current.connection.status).toBe('live'));
  });

  it('follow the last webhook of a project', async () => {
    const { server, standup } = await meeting();
    const project = { name: 'default', lastWebhookAt: null, lastWebhookEvent: null };
    server.answers.set('GET /api/projects', () => ({ status: 200, body: { projects: [project] } }));
    const { result } = render(server, () => ({ projects: useProjects(), connection: useConnection() }));
    await until(() => expect(result.current.projects.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    await act(async () => {
      server.publish('participant_joined', standup);
      await until(() => expect(result.current.projects.data?.[0]?.lastWebhookEvent).toBe('participant_joined'));
    });
  });

  it('fetch the health of projects when a condition says that it has changed', async () => {
    const { server, standup } = await meeting();
    const project = { name: 'default', lastWebhookAt: null, lastWebhookEvent: null, awaySince: null as number | null };
    server.answers.set('GET /api/projects', () => ({ status: 200, body: { projects: [{ ...project }] } }));
    const { result } = render(server, () => ({ projects: useProjects(), connection: useConnection() }));
    await until(() => expect(result.current.connection.status).toBe('live'));
    await until(() => expect(result.current.projects.data).toHaveLength(1));
    project.awaySince = 5;
    const began = performance.now();
    await act(async () => {
      // One of a room is not about the project.
      server.publish('roomwatch.condition_opened', standup);
      server.publish('roomwatch.condition_opened', null);
      await until(() => expect(result.current.projects.data?.[0]?.awaySince).toBe(5));
    });
    expect(server.count('GET /api/projects')).toBe(2);
    // Without an event, they are fetched after 15 seconds.
    expect(performance.now() - began).toBeLessThan(10_000);
  });

  it('list only the rooms of the stream, and poll for others', async () => {
    clock();
    const { server } = await meeting();
    server.publish('room_started', room('retro'), set(room('retro')));
    const { result } = render(
      server,
      () => ({ rooms: useRooms(), retro: useRoom('retro'), standup: useRoom('standup'), connection: useConnection() }),
      { rooms: ['standup'] },
    );
    await until(() => expect(result.current.rooms.data?.map(({ name }) => name)).toEqual(['standup']));
    await until(() => expect(result.current.retro.data?.name).toBe('retro'));
    await until(() => expect(result.current.connection.status).toBe('live'));
    await until(() => expect(result.current.standup.data?.name).toBe('standup'));
    const asked = server.count('GET /api/rooms/standup');
    server.rooms.delete('RM_retro');
    await act(async () => {
      for (let n = 0; n < 3; n++) {
        await vi.advanceTimersByTimeAsync(21_000);
        await heartbeat(server, () => result.current.connection);
      }
      await until(() => expect(result.current.retro.data).toBeNull());
    });
    expect(server.count('GET /api/rooms/standup')).toBe(asked);
  });

  it('read a watched room often enough for Roomwatch to keep asking LiveKit about it', async () => {
    clock();
    const { server } = await meeting();
    const { result } = render(server, () => ({
      room: useRoom('standup', { watch: true }),
      connection: useConnection(),
    }));
    await until(() => expect(result.current.room.data?.name).toBe('standup'));
    await until(() => expect(result.current.connection.status).toBe('live'));
    const asked = server.count('GET /api/rooms/standup');
    for (let n = 1; n <= 3; n++) {
      await vi.advanceTimersByTimeAsync(9_000);
      await until(() => expect(server.count('GET /api/rooms/standup')).toBeGreaterThanOrEqual(asked + n));
    }
  });

  it('do not read a watched room while it is not live', async () => {
    clock();
    const { server, standup } = await meeting();
    const { result } = render(server, () => ({
      room: useRoom('standup', { watch: true }),
      connection: useConnection(),
    }));
    await until(() => expect(result.current.connection.status).toBe('live'));
    await until(() => expect(result.current.room.data?.name).toBe('standup'));
    await act(async () => {
      server.publish('room_finished', standup, gone(standup));
      await until(() => expect(result.current.room.data).toBeNull());
    });
    await until(() => expect(result.current.room.isFetching).toBe(false));
    const asked = server.count('GET /api/rooms/standup');
    await vi.advanceTimersByTimeAsync(30_000);
    expect(server.count('GET /api/rooms/standup')).toBe(asked);
  });

  it('have a prefix before their keys and leave the queries of the app alone', async () => {
    const { server, standup } = await meeting();
    const queryClient = new QueryClient();
    queryClient.setQueryData(['rooms'], 'the app has something else here');
    const { result } = render(server, () => ({ rooms: useRooms(), connection: useConnection() }), {
      queryClient,
      keyPrefix: ['rw'],
    });
    await until(() => expect(result.current.rooms.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    await act(async () => {
      server.publish('room_updated', standup, patch(standup, { metadata: 'x' }));
      await until(() => expect(result.current.rooms.data?.[0]?.metadata).toBe('x'));
    });
    expect(queryClient.getQueryData(['rw', 'rooms'])).toBeTruthy();
    expect(queryClient.getQueryData(['rooms'])).toBe('the app has something else here');
  });
});

describe('the history, which is written a moment after the stream has told', () => {
  it.each(['after', 'before'])('is asked again if it was asked for right %s a change', async (order) => {
    clock();
    const { server, standup } = await meeting();
    const line = `GET /api/sessions/${standup.sid}`;
    let endedAt: number | null = null;
    let answer = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    server.answers.set(line, async () => {
      const body = { session: { room: 'standup', sid: standup.sid, endedAt }, participations: [] };
      if (order === 'before') await held;
      return { status: 200, body };
    });
    let shown = order === 'before';
    const { result, rerender } = render(server, () => ({
      rooms: useRooms(),
      session: useSession(standup.sid, { enabled: shown }),
      connection: useConnection(),
    }));
    await until(() => expect(result.current.rooms.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    await vi.advanceTimersByTimeAsync(9_000);
    await act(async () => {
      server.publish('room_finished', standup, gone(standup));
      await until(() => expect(result.current.rooms.data).toHaveLength(0));
    });
    shown = true;
    rerender();
    answer();
    await until(() => expect(result.current.session.data?.session.endedAt).toBeNull());
    endedAt = 1_787_486_500_000;
    await act(async () => {
      await vi.advanceTimersByTimeAsync(1_100);
      await until(() => expect(result.current.session.data?.session.endedAt).toBe(endedAt));
    });
    const asked = server.count(line);
    await act(async () => {
      await vi.advanceTimersByTimeAsync(6_000);
      await until(() => expect(server.count(line)).toBe(asked + 1));
      await vi.advanceTimersByTimeAsync(30_000);
    });
    expect(server.count(line)).toBe(asked + 1);
  });
});

describe('events', () => {
  it('arrive once, through a filter, in log order', async () => {
    const { server, standup } = await meeting();
    const seen: Message[] = [];
    const { result } = render(server, () =>
      useRealtimeEvents({ type: ['participant_*', '*_muted'], room: 'standup', onEvent: (event) => seen.push(event) }),
    );
    await until(() => expect(result.current.isConnected).toBe(true));
    server.publish('participant_joined', standup);
    server.publish('room_updated', standup);
    server.publish('participant_joined', room('retro'));
    server.publish('track_muted', standup);
    server.publish('participant_left', standup);
    await until(() =>
      expect(seen.map(({ type }) => type)).toEqual(['participant_joined', 'track_muted', 'participant_left']),
    );
  });

  it('invalidate queries of the app by type, at most once a second each', async () => {
    clock();
    const { server, standup } = await meeting();
    const queryClient = new QueryClient();
    const invalidated: string[] = [];
    vi.spyOn(queryClient, 'invalidateQueries').mockImplementation(async (filters) => {
      invalidated.push(JSON.stringify(filters?.queryKey));
    });
    const { result } = render(server, () => useRealtimeEvents({ mode: 'invalidate', keyPrefix: ['app'] }), {
      queryClient,
    });
    await until(() => expect(result.current.isConnected).toBe(true));
    await vi.advanceTimersByTimeAsync(1_100);
    invalidated.length = 0;
    for (let n = 0; n < 50; n++) server.publish('participant_joined', standup);
    await until(() => expect(result.current.cursor).toBe(server.cursor()));
    expect(invalidated).toEqual(['["app","rooms"]', '["app","rooms","standup"]', '["app","participants","standup"]']);
    await vi.advanceTimersByTimeAsync(1_100);
    await until(() => expect(invalidated).toHaveLength(6));
    await vi.advanceTimersByTimeAsync(5_000);
    expect(invalidated).toHaveLength(6);
  });
});

describe('queries of an app in mode `invalidate`', () => {
  // E: an event arrives. A: the oldest request is answered, with the truth of the time when it was made.
  const STEPS = 6;
  const orders = Array.from({ length: 2 ** STEPS }, (_, bits) =>
    Array.from({ length: STEPS }, (_, at) => ((bits >> at) & 1 ? 'E' : 'A')).join(''),
  );

  it('end with the truth, whatever the order of answers and events', async () => {
    const server = await TestServer.start();
    const truth = new Map(orders.map((order) => [order, 0]));
    const pending = new Map<string, (() => void)[]>(orders.map((order) => [order, []]));
    let most = 0;
    let held = true;
    const answer = (order: string) => {
      const value = truth.get(order);
      const requests = pending.get(order) ?? [];
      return new Promise((resolve) => {
        if (!held) return resolve(value);
        most = Math.max(
          most,
          requests.push(() => resolve(value)),
        );
      });
    };
    const { result } = render(server, () => ({
      events: useRealtimeEvents({ mode: 'invalidate' }),
      queries: useQueries({
        queries: orders.map((order) => ({ queryKey: ['rooms', order], queryFn: () => answer(order) })),
      }),
    }));
    await until(() => expect(result.current.events.isConnected).toBe(true));
    for (let step = 0; step < STEPS; step++) {
      await act(async () => {
        for (const order of orders) if (order[step] === 'A') pending.get(order)?.shift()?.();
      });
      await act(async () => {
        for (const order of orders) {
          if (order[step] !== 'E') continue;
          truth.set(order, (truth.get(order) ?? 0) + 1);
          server.publish('room_updated', room(order));
        }
        await until(() => expect(result.current.events.cursor).toBe(server.cursor()));
      });
    }
    held = false;
    await act(async () => {
      for (const requests of pending.values()) for (const resolve of requests) resolve();
    });
    const shown = () => orders.map((order, at) => [order, result.current.queries[at]?.data]);
    await until(() => expect(shown()).toEqual(orders.map((order) => [order, truth.get(order)])));
    // A busy room does not cancel the requests about it: one that takes long would never end.
    expect(most).toBe(1);
  });

  it('are fetched again by a hook that begins to listen later', async () => {
    const { server } = await meeting();
    let truth = 1;
    let listening = false;
    const { result, rerender } = render(server, () => ({
      events: useRealtimeEvents({
        mode: listening ? 'invalidate' : 'write',
        keyPrefix: ['app'],
        keys: () => [['mine']],
      }),
      query: useQuery({ queryKey: ['app', 'mine'], queryFn: async () => truth, staleTime: Number.POSITIVE_INFINITY }),
    }));
    await until(() => expect(result.current.events.isConnected).toBe(true));
    await until(() => expect(result.current.query.data).toBe(1));
    truth = 2;
    listening = true;
    rerender();
    await until(() => expect(result.current.query.data).toBe(2));
  });
});

describe('commands', () => {
  async function ready<T>(hook: () => T) {
    const { server, standup, ada } = await meeting();
    const { result } = render(server, () => ({
      command: hook(),
      rooms: useRooms(),
      room: useRoom('standup'),
      people: useRoomParticipants('standup'),
      connection: useConnection(),
    }));
    await until(() => expect(result.current.people.data).toHaveLength(1));
    await until(() => expect(result.current.room.data).toBeTruthy());
    await until(() => expect(result.current.rooms.data).toHaveLength(1));
    await until(() => expect(result.current.connection.status).toBe('live'));
    const muted = () => result.current.people.data?.[0]?.tracks[0]?.muted;
    return { server, standup, ada, result, muted };
  }
  const mute = { room: 'standup', identity: 'ada', trackSid: 'TR_1', muted: true };
  const MUTE = 'POST /api/rooms/standup/participants/ada/tracks/TR_1/mute';

  it('are drawn at once and settled by the event, not by the response', async () => {
    clock();
    const { server, standup, ada, result, muted } = await ready(useMuteTrack);
    const asked = server.count('GET /api/rooms/standup/participants');
    await act(async () => {
      await result.current.command.mutateAsync(mute);
    });
    expect(server.requests.find(({ line }) => line === MUTE)?.body).toEqual({ muted: true });
    await until(() => expect(muted()).toBe(true));
    // Another change of ada, from before the command: the edit stays drawn.
    await act(async () => {
      server.publish('participant_updated', standup, patch(ada, { name: 'Ada', tracks: ada.tracks }));
      await until(() => expect(result.current.people.data?.[0]?.name).toBe('Ada'));
    });
    expect(muted()).toBe(true);
    const tracks = ada.tracks.map((track) => ({ ...track, muted: true }));
    await act(async () => {
      server.publish('track_muted', standup, patch(ada, { tracks }));
      // From then on the confirmed data is drawn: ada unmutes at once, so that both events are in one batch.
      server.publish('track_unmuted', standup, patch(ada, { tracks: ada.tracks }));
      await until(() => expect(muted()).toBe(false));
      await vi.advanceTimersByTimeAsync(6_000);
    });
    expect(muted()).toBe(false);
    expect(server.count('GET /api/rooms/standup/participants')).toBe(asked);
  });

  it('are rolled back on an error, without undoing events that arrived meanwhile', async () => {
    const { server, standup, ada, result, muted } = await ready(useMuteTrack);
    let answer = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    server.answers.set(MUTE, async () => {
      await held;
      return fail(502, 'livekit_unreachable');
    });
    let failed: Promise<unknown> = Promise.resolve();
    await act(async () => {
      failed = result.current.command.mutateAsync(mute).catch((error) => error);
      await until(() => expect(muted()).toBe(true));
      server.publish('participant_updated', standup, patch(ada, { name: 'Ada' }));
      await until(() => expect(result.current.people.data?.[0]?.name).toBe('Ada'));
      answer();
      await failed;
    });
    expect(await failed).toMatchObject({
      code: 'livekit_unreachable',
      status: 502,
      docs: '/docs/errors#livekit_unreachable',
    });
    await until(() => expect(muted()).toBe(false));
    expect(result.current.people.data?.[0]?.name).toBe('Ada');
  });

  it('fetch the data if no event arrives in time', async () => {
    clock();
    const { server, result, muted } = await ready(useMuteTrack);
    const asked = server.count('GET /api/rooms/standup/participants');
    await act(async () => {
      await result.current.command.mutateAsync(mute);
      await until(() => expect(muted()).toBe(true));
      await vi.advanceTimersByTimeAsync(5_100);
      await until(() => expect(server.count('GET /api/rooms/standup/participants')).toBe(asked + 1));
      await until(() => expect(muted()).toBe(false));
    });
  });

  it('end a room in every list', async () => {
    const { server, standup, ada, result } = await ready(useDeleteRoom);
    await act(async () => {
      await result.current.command.mutateAsync({ room: 'standup' });
    });
    await until(() => expect(result.current.rooms.data).toEqual([]));
    expect(result.current.room.data).toBeNull();
    expect(server.count('DELETE /api/rooms/standup')).toBe(1);
    const again = room('standup', { sid: 'RM_again', startedAt: Date.now() + 60_000 });
    await act(async () => {
      server.publish('room_finished', standup, gone(ada), gone(standup));
      server.publish('room_started', again, set(again));
      await until(() => expect(result.current.room.data?.sid).toBe('RM_again'));
    });
    expect(result.current.rooms.data?.map(({ sid }) => sid)).toEqual(['RM_again']);
  });

  it('create a room, which is listed until LiveKit reports it', async () => {
    const { server, result } = await ready(useCreateRoom);
    await act(async () => {
      await result.current.command.mutateAsync({ name: 'retro', metadata: 'm' });
    });
    await until(() => expect(result.current.rooms.data?.[1]).toMatchObject({ name: 'retro', sid: 'pending:retro' }));
    expect(server.requests.find(({ line }) => line === 'POST /api/rooms')?.body).toEqual({
      name: 'retro',
      metadata: 'm',
    });
    const retro = room('retro');
    await act(async () => {
      server.publish('room_started', retro, set(retro));
      await until(() => expect(result.current.rooms.data?.map(({ sid }) => sid)).toEqual(['RM_standup', 'RM_retro']));
    });
  });

  it('remove a room that could not be created', async () => {
    const { server, result } = await ready(useCreateRoom);
    server.answers.set('POST /api/rooms', () => fail(403, 'forbidden'));
    await act(async () => {
      await expect(result.current.command.mutateAsync({ name: 'retro' })).rejects.toMatchObject({ code: 'forbidden' });
    });
    await until(() => expect(result.current.rooms.data).toHaveLength(1));
  });

  it('remove a participant, who can rejoin as another', async () => {
    const { server, standup, ada, result } = await ready(useRemoveParticipant);
    await act(async () => {
      await result.current.command.mutateAsync({ room: 'standup', identity: 'ada' });
    });
    await until(() => expect(result.current.people.data).toEqual([]));
    expect(server.count('DELETE /api/rooms/standup/participants/ada')).toBe(1);
    await act(async () => {
      server.publish('participant_left', standup, gone(ada));
      server.publish(
        'participant_joined',
        standup,
        set(person(standup, 'ada', { sid: 'PA_2', joinedAt: Date.now() + 60_000 })),
      );
      await until(() => expect(result.current.people.data?.map(({ sid }) => sid)).toEqual(['PA_2']));
    });
  });

  it('change the metadata of a room', async () => {
    const { server, result } = await ready(useUpdateRoom);
    await act(async () => {
      await result.current.command.mutateAsync({ room: 'standup', metadata: 'new' });
    });
    await until(() => expect(result.current.room.data?.metadata).toBe('new'));
    expect(result.current.rooms.data?.[0]?.metadata).toBe('new');
    expect(server.requests.find(({ line }) => line === 'PATCH /api/rooms/standup')?.body).toEqual({ metadata: 'new' });
  });

  it('change a participant', async () => {
    const { result, server } = await ready(useUpdateParticipant);
    await act(async () => {
      await result.current.command.mutateAsync({
        room: 'standup',
        identity: 'ada',
        name: 'Ada',
        attributes: { role: 'host', old: '' },
      });
    });
    await until(() =>
      expect(result.current.people.data?.[0]).toMatchObject({ name: 'Ada', attributes: { role: 'host' } }),
    );
    expect(server.requests.at(-1)?.body).toEqual({ name: 'Ada', attributes: { role: 'host', old: '' } });
  });
});
