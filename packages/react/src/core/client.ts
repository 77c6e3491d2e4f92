import { RoomwatchError } from './error';
import type * as wire from './wire';

/** A LiveKit access token, or a function that returns one. Without a token the operator's cookie is used. */
export type TokenSource = string | (() => string | Promise<string>);

export interface ClientOptions {
  /** Address of Roomwatch, e.g. `https://watch.example.com` or `/roomwatch`. Default: this origin. */
  url?: string;
  token?: TokenSource;
  /** Limits every request to one project. Needed for the routes of a room if there are several projects. */
  project?: string;
  fetch?: typeof fetch;
  /** Returns the newest cursor that is known. A node of a deployment that lacks its event waits for it before it answers. */
  cursor?: () => wire.Cursor | null;
  /** Called after each answer and each failure. The connection uses it to tell "polling" from "stale". */
  onSettled?: (error: RoomwatchError | null) => void;
}

/** Name of a room. `project` is needed only if there are several projects. */
export interface RoomRef {
  room: string;
  project?: string;
}

export interface ParticipantRef extends RoomRef {
  identity: string;
}

/** Moment of the past: unix milliseconds, or a cursor, which means after its event. */
export type Moment = number | wire.Cursor;

export interface EventsQuery {
  after?: wire.Cursor;
  before?: wire.Cursor;
  limit?: number;
  room?: string | string[];
  type?: string | string[];
  /** Identities. */
  participant?: string | string[];
  project?: string | string[];
}

export type SessionSort = 'started' | 'duration' | 'participants' | 'peak' | 'agents' | 'calls' | 'trouble' | 'minutes';

/** A connection was lost; a recording, a phone call or an agent failed. */
export type SessionTrouble = 'lost' | 'recording' | 'call' | 'agent';

export interface SessionsQuery {
  /** Exact name and exact identity. */
  room?: string;
  identity?: string;
  /** Part of the name of the room; part of the identity or the name of a participant. In any case and accents. */
  roomContains?: string;
  participantContains?: string;
  /** Any of these. */
  trouble?: SessionTrouble | SessionTrouble[];
  recorded?: boolean;
  agents?: boolean;
  calls?: boolean;
  /** Default: `started`. */
  sort?: SessionSort;
  /** Default: `desc`. */
  order?: 'asc' | 'desc';
  /** Adds the totals of all matching sessions, to the first page. */
  totals?: boolean;
  /** Unix milliseconds. */
  from?: number;
  to?: number;
  /** `next` of the previous page. */
  before?: string;
  limit?: number;
  project?: string;
}

export interface EgressQuery {
  /** Part of the name of the room. */
  room?: string;
  /** For example `failed`; `trouble` and `live` are groups. */
  status?: string | string[];
  /** Unix milliseconds. */
  from?: number;
  to?: number;
  /** `next` of the previous page. */
  before?: string;
  limit?: number;
  project?: string;
}

export interface CallsQuery {
  /** Part of the number or of the identity. */
  number?: string;
  /** Part of the name of the room. */
  room?: string;
  /** For example `no_answer`; `trouble` is a group. */
  outcome?: string | string[];
  /** Unix milliseconds. */
  from?: number;
  to?: number;
  /** `next` of the previous page. */
  before?: string;
  limit?: number;
  project?: string;
}

export interface ActivityQuery {
  /** Unix milliseconds; `step` in milliseconds. */
  from?: number;
  to?: number;
  step?: number;
  /** Limits the numbers to one room. */
  room?: string;
  project?: string;
}

export interface UsageQuery {
  /** Unix milliseconds. */
  from?: number;
  to?: number;
  step?: 'minute' | 'five_minutes' | 'quarter' | 'hour' | 'day' | 'week' | 'month';
  /** IANA name of the zone of hours, days, weeks and months. */
  zone?: string;
  /** `project`, or the name of a dimension of the configuration. */
  groupBy?: string;
  /** Limits the numbers to the rooms with this value of this dimension. */
  dimension?: string;
  value?: string;
  project?: string;
}

export interface AuditQuery {
  user?: string;
  /** For example `room.end`. */
  action?: string;
  outcome?: 'started' | 'done' | 'refused' | 'failed';
  room?: string;
  /** Unix milliseconds. */
  from?: number;
  to?: number;
  before?: string;
  limit?: number;
  project?: string;
}

export interface CreateRoom {
  name: string;
  metadata?: string;
  /** Seconds. */
  emptyTimeout?: number;
  maxParticipants?: number;
  project?: string;
}

export interface UpdateRoom extends RoomRef {
  metadata: string;
}

export interface UpdateParticipant extends ParticipantRef {
  name?: string;
  metadata?: string;
  /** LiveKit merges them. An empty value removes the key. */
  attributes?: Record<string, string>;
  /** The complete permission: an absent field is not allowed. */
  permission?: wire.Permission;
}

export interface MuteTrack extends ParticipantRef {
  trackSid: string;
  muted: boolean;
}

export interface SendData extends RoomRef {
  text?: string;
  /** Bytes in base64. Give either `text` or `base64`. */
  base64?: string;
  topic?: string;
  identities?: string[];
  reliable?: boolean;
}

export interface CreateDispatch extends RoomRef {
  /** Name with which the worker registers. */
  agentName: string;
  /** The agent reads it as the metadata of its job. */
  metadata?: string;
}

export interface DispatchRef extends RoomRef {
  id: string;
}

export interface StartEgress {
  /** Name of a preset of the server's configuration. */
  preset: string;
  /** For a room or a track. */
  room?: string;
  /** Sid of a track of the room. */
  track?: string;
  /** For a page of an allowed origin. */
  url?: string;
  /** Starts also if the same is running. */
  another?: boolean;
  project?: string;
}

export interface EgressRef {
  egressId: string;
  project?: string;
}

export interface ConditionRef {
  id: string;
  /** Empty for a condition of Roomwatch itself. */
  project: string;
}

export interface Acknowledge extends ConditionRef {
  /** Unix milliseconds. Until then it also counts as acknowledged if it is opened again. */
  until?: number;
  reason?: string;
}

export interface WatchRequest extends RoomRef {
  /** Reason for the audit log. Some installations require one. */
  reason?: string;
}

type Query = Record<string, string | number | boolean | string[] | null | undefined>;

/**
 * One method for each route. Every rejection is a {@link RoomwatchError}, except an abort, which stays an `AbortError`.
 */
export interface RoomwatchClient {
  /** Absolute or root-relative base address, without a slash at the end. */
  readonly base: string;
  readonly project: string | undefined;
  /** Returns the present token, or null if the cookie is used. */
  token(): Promise<string | null>;
  /** Returns an address below the base. Empty values are left out, arrays repeat the parameter. */
  url(path: string, query?: Query): string;
  me(signal?: AbortSignal): Promise<wire.Me>;
  login(credentials: { user?: string; password: string }): Promise<void>;
  logout(): Promise<void>;
  /** Returns the live rooms, or with `at` those of an earlier moment. */
  rooms(
    query?: { project?: string; room?: string | string[]; at?: Moment },
    signal?: AbortSignal,
  ): Promise<wire.RoomsAnswer>;
  room(ref: RoomRef & { at?: Moment }, signal?: AbortSignal): Promise<wire.RoomAnswer>;
  participants(ref: RoomRef & { at?: Moment }, signal?: AbortSignal): Promise<wire.ParticipantsAnswer>;
  events(query?: EventsQuery, signal?: AbortSignal): Promise<wire.EventsPage>;
  sessions(query?: SessionsQuery, signal?: AbortSignal): Promise<wire.SessionsPage>;
  session(sid: string, query?: { project?: string }, signal?: AbortSignal): Promise<wire.SessionDetail>;
  /** Returns a participant over all sessions. `project` is needed only if there are several projects. */
  participant(identity: string, query?: { project?: string }, signal?: AbortSignal): Promise<wire.Person>;
  egress(query?: EgressQuery, signal?: AbortSignal): Promise<wire.EgressPage>;
  calls(query?: CallsQuery, signal?: AbortSignal): Promise<wire.CallsPage>;
  agents(query?: { project?: string }, signal?: AbortSignal): Promise<wire.AgentsAnswer>;
  activity(query?: ActivityQuery, signal?: AbortSignal): Promise<wire.Activity>;
  usage(query?: UsageQuery, signal?: AbortSignal): Promise<wire.Usage>;
  projects(signal?: AbortSignal): Promise<wire.Projects>;
  /** Sends a signed test event named `roomwatch_test` to the webhook endpoint. For operators and admins. */
  testWebhook(project: string): Promise<{ cursor: wire.Cursor }>;
  search(q: string, signal?: AbortSignal): Promise<{ results: wire.SearchResult[] }>;
  attention(query?: { project?: string; at?: number }, signal?: AbortSignal): Promise<wire.AttentionAnswer>;
  acknowledge(body: Acknowledge): Promise<void>;
  unacknowledge(ref: ConditionRef): Promise<void>;
  audit(query?: AuditQuery, signal?: AbortSignal): Promise<wire.AuditPage>;
  createRoom(body: CreateRoom): Promise<unknown>;
  updateRoom(body: UpdateRoom): Promise<unknown>;
  deleteRoom(ref: RoomRef): Promise<void>;
  updateParticipant(body: UpdateParticipant): Promise<unknown>;
  removeParticipant(ref: ParticipantRef): Promise<void>;
  muteTrack(body: MuteTrack): Promise<unknown>;
  sendData(body: SendData): Promise<void>;
  /** Asks LiveKit for the agent dispatches of a live room. Counts as a command. */
  dispatches(ref: RoomRef, signal?: AbortSignal): Promise<{ dispatches: wire.Dispatch[] }>;
  createDispatch(body: CreateDispatch): Promise<wire.Dispatch>;
  deleteDispatch(ref: DispatchRef): Promise<void>;
  startEgress(body: StartEgress): Promise<wire.EgressStatus>;
  stopEgress(ref: EgressRef): Promise<wire.EgressStatus>;
  /** Asks LiveKit for the ingress of a project. Counts as a command. */
  ingress(query?: { project?: string }, signal?: AbortSignal): Promise<wire.IngressList>;
  watchToken(request: WatchRequest): Promise<wire.WatchToken>;
}

/** Returns a client that uses `fetch`. It works in browsers and in Node. */
export function createClient(options: ClientOptions = {}): RoomwatchClient {
  const base = (options.url ?? '').replace(/\/+$/, '');
  const seg = encodeURIComponent;

  const token = async () => {
    const source = options.token;
    return (typeof source === 'function' ? await source() : source) ?? null;
  };

  const url = (path: string, query: Query = {}) => {
    const params = new URLSearchParams();
    for (const [name, value] of Object.entries(query)) {
      for (const one of Array.isArray(value) ? value : [value]) {
        if (one !== undefined && one !== null && one !== '') params.append(name, String(one));
      }
    }
    const text = params.toString();
    return `${base}${path}${text && `?${text}`}`;
  };

  async function call<T>(
    method: string,
    path: string,
    query?: Query,
    body?: unknown,
    signal?: AbortSignal,
  ): Promise<T> {
    const bearer = await token();
    const headers: Record<string, string> = { accept: 'application/json' };
    if (bearer) headers.authorization = `Bearer ${bearer}`;
    if (body !== undefined) headers['content-type'] = 'application/json';
    const cursor = method === 'GET' ? options.cursor?.() : null;
    if (cursor) headers['roomwatch-cursor'] = cursor;
    let error: RoomwatchError;
    try {
      const response = await (options.fetch ?? fetch)(url(path, { project: options.project, ...query }), {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal,
        credentials: bearer ? 'omit' : 'include',
        cache: 'no-store',
      });
      const text = await response.text();
      if (response.ok) {
        const value = text === '' ? undefined : JSON.parse(text);
        options.onSettled?.(null);
        return value as T;
      }
      error = await toError(response, text);
    } catch (cause) {
      if ((cause as Error | null)?.name === 'AbortError') throw cause;
      error =
        cause instanceof SyntaxError
          ? new RoomwatchError('unexpected_answer', 200, 'The answer is not JSON. Check the address of Roomwatch.')
          : new RoomwatchError('network', 0, 'Cannot reach Roomwatch.');
    }
    options.onSettled?.(error);
    throw error;
  }

  const get = <T>(path: string, query?: Query, signal?: AbortSignal) => call<T>('GET', path, query, undefined, signal);
  const room = (ref: RoomRef) => `/api/rooms/${seg(ref.room)}`;
  // An empty project is a value here.
  const condition = (id: string, project: string) => `/api/attention/${seg(id)}?project=${seg(project)}`;
  const participant = (ref: ParticipantRef) => `${room(ref)}/participants/${seg(ref.identity)}`;

  return {
    base,
    project: options.project,
    token,
    url,
    me: (signal) => get('/api/me', { project: null }, signal),
    login: async (credentials) => {
      await call('POST', '/api/login', { project: null }, credentials);
    },
    logout: async () => {
      await call('POST', '/api/logout', { project: null });
    },
    rooms: (query, signal) => get('/api/rooms', { ...query }, signal),
    room: (ref, signal) => get(room(ref), { ...project(ref), at: ref.at }, signal),
    participants: (ref, signal) => get(`${room(ref)}/participants`, { ...project(ref), at: ref.at }, signal),
    events: (query, signal) => get('/api/events', { ...query }, signal),
    sessions: (query, signal) => get('/api/sessions', { ...query }, signal),
    session: (sid, query, signal) => get(`/api/sessions/${seg(sid)}`, { ...query }, signal),
    participant: (identity, query, signal) => get(`/api/participants/${seg(identity)}`, { ...query }, signal),
    egress: (query, signal) => get('/api/egress', { ...query }, signal),
    calls: (query, signal) => get('/api/calls', { ...query }, signal),
    agents: (query, signal) => get('/api/agents', { ...query }, signal),
    activity: (query, signal) => get('/api/activity', { ...query }, signal),
    usage: (query, signal) => get('/api/usage', { ...query }, signal),
    projects: (signal) => get('/api/projects', undefined, signal),
    testWebhook: (name) => call('POST', `/api/projects/${seg(name)}/test-webhook`),
    search: (q, signal) => get('/api/search', { q }, signal),
    attention: (query, signal) => get('/api/attention', { ...query }, signal),
    acknowledge: ({ id, project: p, ...body }) => call('PUT', condition(id, p), undefined, body),
    unacknowledge: ({ id, project: p }) => call('DELETE', condition(id, p)),
    audit: (query, signal) => get('/api/audit', { ...query }, signal),
    createRoom: ({ project: p, ...body }) => call('POST', '/api/rooms', project({ project: p }), body),
    updateRoom: (ref) => call('PATCH', room(ref), project(ref), { metadata: ref.metadata }),
    deleteRoom: (ref) => call('DELETE', room(ref), project(ref)),
    updateParticipant: (ref) => {
      const { room: _room, project: _project, identity: _identity, ...body } = ref;
      return call('PATCH', participant(ref), project(ref), body);
    },
    removeParticipant: (ref) => call('DELETE', participant(ref), project(ref)),
    muteTrack: (ref) =>
      call('POST', `${participant(ref)}/tracks/${seg(ref.trackSid)}/mute`, project(ref), { muted: ref.muted }),
    sendData: ({ room: name, project: p, ...body }) =>
      call('POST', `${room({ room: name })}/data`, project({ project: p }), body),
    dispatches: (ref, signal) => get(`${room(ref)}/dispatches`, project(ref), signal),
    createDispatch: ({ room: name, project: p, ...body }) =>
      call('POST', `${room({ room: name })}/dispatches`, project({ project: p }), body),
    deleteDispatch: (ref) => call('DELETE', `${room(ref)}/dispatches/${seg(ref.id)}`, project(ref)),
    startEgress: ({ project: p, ...body }) => call('POST', '/api/egress', project({ project: p }), body),
    stopEgress: (ref) => call('DELETE', `/api/egress/${seg(ref.egressId)}`, project(ref)),
    ingress: (query, signal) => get('/api/ingress', { ...query }, signal),
    watchToken: ({ reason, ...ref }) => call('POST', `${room(ref)}/token`, project(ref), reason ? { reason } : {}),
  };
}

/** Returns the project of a request, if it has one. An absent project must not replace the client's own. */
function project(ref: { project?: string }): Query {
  return ref.project ? { project: ref.project } : {};
}

async function toError(response: Response, text: string): Promise<RoomwatchError> {
  const seconds = Number.parseFloat(response.headers.get('retry-after') ?? '');
  const retryAfter = Number.isFinite(seconds) ? seconds * 1000 : null;
  try {
    const { code, message, docs } = JSON.parse(text).error;
    return new RoomwatchError(String(code), response.status, String(message), docs ?? null, retryAfter);
  } catch {
    const message = `The server answered ${response.status} without a reason.`;
    return new RoomwatchError('unexpected_answer', response.status, message, null, retryAfter);
  }
}
