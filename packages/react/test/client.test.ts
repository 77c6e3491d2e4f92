import { describe, expect, it } from 'vitest';
import { createClient, type RoomwatchClient, type RoomwatchError } from '../src/index';
import { fail, TestServer } from './server';

async function setUp(options: { token?: () => string; project?: string } = {}) {
  const server = await TestServer.start();
  return { server, client: createClient({ url: `${server.url}/`, ...options }) };
}

const failure = async (promise: Promise<unknown>): Promise<RoomwatchError> => {
  return promise.then(
    () => expect.fail('It should have failed.'),
    (error) => error,
  );
};

describe('the client', () => {
  const cases: [string, (client: RoomwatchClient) => Promise<unknown>, unknown?][] = [
    ['GET /api/rooms', (c) => c.rooms()],
    ['GET /api/rooms/a%2Fb', (c) => c.room({ room: 'a/b' }).catch(() => {})],
    ['GET /api/rooms/a/participants', (c) => c.participants({ room: 'a' }).catch(() => {})],
    ['GET /api/events', (c) => c.events({ limit: 1 })],
    ['GET /api/me', (c) => c.me()],
    ['POST /api/login', (c) => c.login({ user: 'ada', password: 'pw' }), { user: 'ada', password: 'pw' }],
    ['POST /api/logout', (c) => c.logout()],
    ['GET /api/sessions', (c) => c.sessions()],
    ['GET /api/sessions/RM_1', (c) => c.session('RM_1')],
    ['GET /api/activity', (c) => c.activity()],
    ['GET /api/usage', (c) => c.usage()],
    ['GET /api/projects', (c) => c.projects()],
    ['GET /api/search', (c) => c.search('x')],
    ['GET /api/audit', (c) => c.audit()],
    [
      'POST /api/rooms',
      (c) => c.createRoom({ name: 'a', emptyTimeout: 5, project: 'p' }),
      { name: 'a', emptyTimeout: 5 },
    ],
    ['PATCH /api/rooms/a', (c) => c.updateRoom({ room: 'a', metadata: 'm' }), { metadata: 'm' }],
    ['DELETE /api/rooms/a', (c) => c.deleteRoom({ room: 'a' })],
    [
      'PATCH /api/rooms/a/participants/b%20c',
      (c) => c.updateParticipant({ room: 'a', identity: 'b c', name: 'n' }),
      { name: 'n' },
    ],
    ['DELETE /api/rooms/a/participants/b', (c) => c.removeParticipant({ room: 'a', identity: 'b' })],
    [
      'POST /api/rooms/a/participants/b/tracks/TR_1/mute',
      (c) => c.muteTrack({ room: 'a', identity: 'b', trackSid: 'TR_1', muted: true }),
      { muted: true },
    ],
    [
      'POST /api/rooms/a/data',
      (c) => c.sendData({ room: 'a', text: 't', identities: ['b'] }),
      { text: 't', identities: ['b'] },
    ],
    ['POST /api/rooms/a/token', (c) => c.watchToken({ room: 'a', reason: 'why' }), { reason: 'why' }],
  ];

  it('sends the newest cursor with every read, and with nothing else', async () => {
    const server = await TestServer.start();
    let cursor: string | null = null;
    const client = createClient({ url: server.url, cursor: () => cursor });
    await client.rooms();
    cursor = '00000001-7';
    await client.rooms();
    await client.deleteRoom({ room: 'a' });
    expect(server.requests.map(({ headers }) => headers['roomwatch-cursor'])).toEqual([
      undefined,
      '00000001-7',
      undefined,
    ]);
  });

  it.each(cases)('sends %s', async (line, call, body = '') => {
    const { server, client } = await setUp();
    await call(client);
    expect(server.requests.map((request) => request.line)).toEqual([line]);
    expect(server.requests[0]?.body).toEqual(body);
    expect(server.requests[0]?.headers.accept).toBe('application/json');
  });

  it('turns the body of an error into a typed error', async () => {
    const { server, client } = await setUp();
    server.answers.set('GET /api/rooms', () => fail(429, 'too_many_connections', { 'retry-after': '2' }));
    const error = await failure(client.rooms());
    expect(error).toBeInstanceOf(Error);
    expect({ ...error, message: error.message }).toEqual({
      name: 'RoomwatchError',
      code: 'too_many_connections',
      status: 429,
      message: 'It is too_many_connections.',
      docs: '/docs/errors#too_many_connections',
      retryAfter: 2000,
    });
  });

  it.each([
    ['nothing listens', undefined, { code: 'network', status: 0 }],
    ["a proxy's page", { status: 502, body: '<html>' }, { code: 'unexpected_answer', status: 502 }],
    ['an error of another shape', { status: 500, body: { oops: true } }, { code: 'unexpected_answer', status: 500 }],
  ])('says so when there is %s', async (_what, answer, expected) => {
    const { server, client } = await setUp();
    if (answer) server.answers.set('GET /api/rooms', () => answer);
    else await server.close();
    expect(await failure(client.rooms())).toMatchObject(expected);
  });

  it('passes an abort on unchanged', async () => {
    const { client } = await setUp();
    const abort = new AbortController();
    abort.abort();
    expect((await failure(client.rooms({}, abort.signal))).name).toBe('AbortError');
  });

  it('sends a token as bearer, a fresh one each time', async () => {
    let n = 0;
    const { server, client } = await setUp({ token: () => `token-${++n}` });
    await client.rooms();
    await client.rooms();
    expect(server.requests.map(({ headers }) => headers.authorization)).toEqual(['Bearer token-1', 'Bearer token-2']);
  });

  it('sends the cookie without a token, and never both', async () => {
    const asked: (string | undefined)[] = [];
    const answer = async (_: unknown, init?: RequestInit) => {
      asked.push(init?.credentials);
      return new Response('{}');
    };
    await createClient({ fetch: answer }).me();
    await createClient({ fetch: answer, token: 'token' }).me();
    expect(asked).toEqual(['include', 'omit']);
  });

  it('sends its project, unless the request has another', async () => {
    const { client } = await setUp({ project: 'one' });
    const seen: string[] = [];
    const spy = createClient({
      url: client.base,
      project: 'one',
      fetch: async (input) => {
        seen.push(String(input).slice(client.base.length));
        return new Response('{}');
      },
    });
    await spy.rooms();
    await spy.room({ room: 'a', project: 'two' });
    await spy.events({ room: ['a', 'b'], type: 'track_*', after: 'e-1' });
    await spy.me();
    expect(seen).toEqual([
      '/api/rooms?project=one',
      '/api/rooms/a?project=two',
      '/api/events?project=one&room=a&room=b&type=track_*&after=e-1',
      '/api/me',
    ]);
  });
});
