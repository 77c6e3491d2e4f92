import { describe, expect, it, vi } from 'vitest';
import { atEnd } from './cleanup';
import { TestLocks } from './locks';
import { fail, room, TestServer } from './server';
import { clock, live, open, status, type Tab, until } from './tab';

const standup = room('standup');

/** A browser whose tabs are connections of this process, with the BroadcastChannel of Node. */
function browser(): void {
  Object.defineProperty(navigator, 'locks', { value: new TestLocks(), configurable: true });
  atEnd(() => Reflect.deleteProperty(navigator, 'locks'));
}

function visible(state: 'visible' | 'hidden'): void {
  Object.defineProperty(document, 'visibilityState', { value: state, configurable: true });
  document.dispatchEvent(new Event('visibilitychange'));
}

async function three(): Promise<{ server: TestServer; tabs: [Tab, Tab, Tab] }> {
  browser();
  const server = await TestServer.start();
  const tabs: [Tab, Tab, Tab] = [open(server), open(server), open(server)];
  for (const tab of tabs) await live(tab);
  return { server, tabs };
}

describe('the tabs of one browser', () => {
  it('share one stream, and each gets each event once', async () => {
    const { server, tabs } = await three();
    for (let n = 0; n < 20; n++) server.publish('participant_joined', standup);
    const all = server.log.map(({ cursor }) => cursor);
    for (const tab of tabs) await until(() => expect(tab.cursors()).toEqual(all));
    expect(server.opened).toHaveLength(1);
    expect(tabs.map(({ sources }) => sources.length).sort()).toEqual([0, 0, 1]);
  });

  it('pass the stream on when the leader closes, without a hole or a duplicate', async () => {
    const { server, tabs } = await three();
    const left = [...tabs];
    while (left.length > 1) {
      server.publish('participant_joined', standup);
      for (const tab of left) await until(() => expect(tab.cursors().at(-1)).toBe(server.cursor()));
      const leader = left.findIndex(({ sources }) => sources.some(({ readyState }) => readyState !== 2));
      left.splice(leader, 1)[0]?.connection.stop();
      server.publish('participant_left', standup);
      for (const tab of left) await until(() => expect(tab.cursors().at(-1)).toBe(server.cursor()));
    }
    expect(left[0]?.cursors()).toEqual(server.log.map(({ cursor }) => cursor));
    expect(server.opened).toHaveLength(3);
    expect(server.opened[1]?.after).toBe(server.cursor(1));
    expect(server.opened[2]?.after).toBe(server.cursor(3));
    await until(() => expect(server.streams.size).toBe(1));
  });

  it('get the state of the line, and can all retry', async () => {
    const { server, tabs } = await three();
    server.refuse = fail(401, 'unauthorized');
    server.me = fail(401, 'unauthorized');
    server.cut();
    for (const tab of tabs) await until(() => expect(status(tab)).toBe('signed_out'));
    server.refuse = null;
    server.me = { status: 200, body: server.meOf(0) };
    const follower = tabs.find(({ sources }) => sources.length === 0);
    follower?.connection.retry();
    for (const tab of tabs) await live(tab);
  });

  it('get the cursor of the stream when they open later', async () => {
    browser();
    const server = await TestServer.start();
    const first = open(server);
    await live(first);
    server.publish('room_started', standup);
    await until(() => expect(first.cursors()).toHaveLength(1));
    const second = open(server);
    await live(second);
    expect(second.events).toEqual([{ type: 'connected', cursor: server.cursor(1), resumed: false }]);
    server.publish('participant_joined', standup);
    await until(() => expect(second.cursors()).toEqual([server.cursor(2)]));
    expect(server.opened).toHaveLength(1);
  });

  it('drop a duplicate, and notice a missed event', async () => {
    const { server, tabs } = await three();
    const first = server.publish('participant_joined', standup);
    for (const tab of tabs) await until(() => expect(tab.cursors()).toEqual([first.cursor]));
    const follower = tabs.find(({ sources }) => sources.length === 0) as Tab;
    // Another leader sends a known event, then one after an event that this tab missed.
    const channel = new BroadcastChannel(`roomwatch:${JSON.stringify([server.url, null, null, null])}`);
    atEnd(() => channel.close());
    channel.postMessage({ frame: ['message', JSON.stringify(first)], prev: server.cursor(0) });
    const later = { ...first, cursor: server.cursor(9) };
    channel.postMessage({ frame: ['message', JSON.stringify(later)], prev: server.cursor(8) });
    await until(() => expect(follower.cursors()).toEqual([first.cursor, later.cursor]));
    expect(follower.events.slice(-2, -1)).toEqual([
      { type: 'connected', cursor: server.cursor(8), resumed: false, reset: 'missed' },
    ]);
  });

  it('take the lock from a silent leader', async () => {
    clock();
    browser();
    const server = await TestServer.start();
    // A frozen tab that holds the lock.
    let robbed = false;
    const name = `roomwatch:${JSON.stringify([server.url, null, null, null])}`;
    navigator.locks
      .request(name, {}, () => new Promise(() => {}))
      .catch(() => {
        robbed = true;
      });
    const tab = open(server);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(tab.sources).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(100_000);
    await live(tab);
    expect(robbed).toBe(true);
  });

  it('follow after another tab takes their lock, and close their stream', async () => {
    const { server, tabs } = await three();
    const leader = tabs.find(({ sources }) => sources.length > 0);
    const name = `roomwatch:${JSON.stringify([server.url, null, null, null])}`;
    let release = () => {};
    const stolen = navigator.locks.request(
      name,
      { steal: true },
      () => new Promise<void>((resolve) => (release = resolve)),
    );
    await until(() => expect(server.streams.size).toBe(0));
    expect(leader?.sources.every(({ readyState }) => readyState === 2)).toBe(true);
    release();
    await stolen;
    server.publish('participant_joined', standup);
    for (const tab of tabs) await until(() => expect(tab.cursors()).toEqual([server.cursor(1)]));
    expect(server.streams.size).toBe(1);
  });

  it('do not share a stream with another user, or with a token of other rights', async () => {
    browser();
    const server = await TestServer.start();
    const token = (claims: object) => `x.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.y`;
    const ada = open(server, { token: token({ sub: 'ada', exp: 1 }) });
    await live(ada);
    const refreshed = open(server, { token: token({ sub: 'ada', exp: 2 }) });
    const bob = open(server, { token: token({ sub: 'bob', exp: 1 }) });
    const cookie = open(server);
    for (const tab of [refreshed, bob, cookie]) await live(tab);
    expect(refreshed.sources).toHaveLength(0);
    expect(bob.sources).toHaveLength(1);
    expect(cookie.sources).toHaveLength(1);
  });

  it('have a stream each without Web Locks, and none while hidden', async () => {
    const server = await TestServer.start();
    atEnd(() => visible('visible'));
    const tab = open(server);
    await live(tab);
    server.publish('participant_joined', standup);
    await until(() => expect(tab.cursors()).toHaveLength(1));
    visible('hidden');
    await until(() => expect(server.streams.size).toBe(0));
    server.publish('participant_left', standup);
    visible('visible');
    await live(tab);
    await until(() => expect(tab.cursors()).toEqual([server.cursor(1), server.cursor(2)]));
    expect(server.opened[1]?.after).toBe(server.cursor(1));
  });

  it('open no stream in a hidden tab without Web Locks', async () => {
    const server = await TestServer.start();
    visible('hidden');
    atEnd(() => visible('visible'));
    const tab = open(server);
    await until(() => expect(status(tab)).not.toBe('live'));
    expect(tab.sources).toHaveLength(0);
    visible('visible');
    await live(tab);
  });
});
