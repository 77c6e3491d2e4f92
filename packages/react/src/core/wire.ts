import type { components } from './schema';

/*
 * What the server says, as it says it; what its OpenAPI document describes is taken from there. JSON is camelCase;
 * every `…At` is unix milliseconds. Unions end in `(string & {})` where LiveKit may add a value: an unknown one is
 * shown, never refused.
 */

/** The document calls optional what may be null; the server always writes it. */
type Whole<T> = T extends readonly (infer U)[] ? Whole<U>[] : T extends object ? { [K in keyof T]-?: Whole<T[K]> } : T;
type Schema<Name extends keyof components['schemas']> = Whole<components['schemas'][Name]>;

/** Position in the log: `<epoch>-<seq>`. The epoch is 8 hex digits, new when a log is created, restored or imported. */
export type Cursor = string;

/** Who said so: LiveKit's webhook, or reconciliation, which asked LiveKit and appended what was missed. */
export type Source = 'webhook' | 'reconcile' | (string & {});

export type TrackCounts = Room['trackCounts'];

/** One life of a room that is live now. */
export type Room = Omit<Schema<'Room'>, 'checkedAt' | 'lastEventAt' | 'source'> & {
  source: Source;
  /** Moved on by the `timestamp` of the messages about the room. Null while it is being created. */
  lastEventAt: number | null;
  /** When LiveKit was last asked; in lists only, in no change. */
  checkedAt?: number | null;
};

export type ParticipantKind = 'standard' | 'agent' | 'sip' | 'ingress' | 'egress' | (string & {});
export type ParticipantState = 'joining' | 'joined' | 'active' | 'disconnected' | 'unknown' | (string & {});

/** LiveKit's `ParticipantPermission`, without what is false. */
export interface Permission {
  canSubscribe?: boolean;
  canPublish?: boolean;
  canPublishData?: boolean;
  canPublishSources?: string[];
  hidden?: boolean;
  recorder?: boolean;
  canUpdateMetadata?: boolean;
  agent?: boolean;
  [more: string]: unknown;
}

/** Somebody who is in a room now. */
export type Participant = Omit<Schema<'Participant'>, 'kind' | 'state' | 'permission' | 'tracks'> & {
  kind: ParticipantKind;
  state: ParticipantState;
  permission: Permission | null;
  tracks: Track[];
};

export type TrackType = 'audio' | 'video' | 'data' | (string & {});
export type TrackSource = 'camera' | 'microphone' | 'screen_share' | 'screen_share_audio' | 'unknown' | (string & {});

export type Track = Omit<Schema<'Track'>, 'type' | 'source'> & { type: TrackType; source: TrackSource };

/** A recording or a stream out of LiveKit. */
export type Egress = Schema<'Egress'>;

/** Media that is sent into LiveKit. */
export type Ingress = Schema<'Ingress'>;

interface ChangeOf<K extends string, V> {
  kind: K;
  /** The entity's sid, or its egress or ingress id. */
  id: string;
  project: string;
  room: string | null;
  roomSid: string | null;
  op: 'set' | 'patch' | 'delete';
  /** The whole entity for `set`, the top-level fields that changed for `patch`, null for `delete`. */
  value?: Partial<V> | null;
}

/** What one event altered in the state. */
export type Change =
  | ChangeOf<'room', Room>
  | ChangeOf<'participant', Participant>
  | ChangeOf<'egress', Egress>
  | ChangeOf<'ingress', Ingress>;

export type EventType =
  | 'room_started'
  | 'room_finished'
  | 'room_updated'
  | 'participant_joined'
  | 'participant_left'
  | 'participant_connection_aborted'
  | 'participant_updated'
  | 'track_published'
  | 'track_unpublished'
  | 'track_muted'
  | 'track_unmuted'
  | 'egress_started'
  | 'egress_updated'
  | 'egress_ended'
  | 'ingress_started'
  | 'ingress_ended'
  | 'agent_job_started'
  | 'agent_job_ended'
  | (string & {});

/** LiveKit's own event, redacted, otherwise as it came. LiveKit's JSON leaves out what is empty. */
export interface LiveKitEvent {
  event: string;
  id?: string;
  createdAt?: string | number;
  room?: Record<string, unknown>;
  participant?: Record<string, unknown>;
  track?: Record<string, unknown>;
  egressInfo?: Record<string, unknown>;
  ingressInfo?: Record<string, unknown>;
  job?: Record<string, unknown>;
  [more: string]: unknown;
}

/** One event on the stream, live or replayed: both are identical. */
export interface Message {
  type: EventType;
  data: LiveKitEvent;
  /** When Roomwatch received the event. */
  timestamp: number;
  cursor: Cursor;
  project: string;
  room: string | null;
  source: Source;
  /** Absent when the stream was opened with a `type` filter. */
  changes?: Change[];
}

/** Why a cursor could not be honoured. `missed` is ours: this tab slept through what another tab received. */
export type ResetReason = 'expired' | 'unknown_epoch' | 'ahead' | 'missed';

/** First frame of every connection. */
export interface Connected {
  type: 'connected';
  cursor: Cursor;
  resumed: boolean;
  reset?: ResetReason;
}

/** What a listener of the stream hears. */
export type ConnectionEvent = Message | Connected;

export interface Ping {
  cursor: Cursor;
  at: number;
}

export interface Bye {
  reason: 'expired' | 'drain' | 'capacity';
}

export interface RoomsAnswer {
  cursor: Cursor;
  rooms: Room[];
}

export interface RoomAnswer {
  cursor: Cursor;
  room: Room;
  participants: Participant[];
  /** What has not ended. */
  egress: Egress[];
  ingress: Ingress[];
}

export interface ParticipantsAnswer {
  cursor: Cursor;
  /** Of the newest live session, whose participants these are: there may be none. */
  roomSid: string;
  participants: Participant[];
}

/** A page of the log, ascending. `prev` and `next` say how far was scanned; null at an end. */
export type EventsPage = Omit<Schema<'Page'>, 'events'> & { events: Message[] };

export type Role = Schema<'Role'>;

/** Who asks. */
export type Me = Omit<Schema<'Me'>, 'grants'> & {
  /** The grants of a LiveKit access token. */
  grants: Record<string, unknown> | null;
};

/** One life of a room, from start to finish, named by its sid. */
export type Session = Schema<'Session'>;

export type SessionsPage = Schema<'Sessions'>;

/** One time somebody was there. */
export type Participation = Omit<Schema<'Participation'>, 'kind' | 'source'> & {
  kind: ParticipantKind;
  source: Source;
};

export type SessionTrack = Schema<'TrackStory'>;

/** One session with everything that is known of it. */
export type SessionDetail = Omit<Schema<'SessionStory'>, 'participations' | 'tracks' | 'egress'> & {
  participations: Participation[];
  tracks: SessionTrack[];
  egress: Egress[];
};

/** `rooms` and `participants` are the most at once in the step; null before the history begins: nobody knows. */
export type ActivityPoint = Schema<'ActivityPoint'>;

/** `step` is in milliseconds. */
export type Activity = Schema<'Activity'>;

export type Capability = Schema<'Availability'>;

/** What reconciliation had to mend. */
export type Correction = Schema<'Note'>;

/** One LiveKit deployment and how it is doing. */
export type Project = Schema<'Project'>;

export type SearchResult = Schema<'Found'>;

/** One command and what became of it. */
export type AuditEntry = Schema<'AuditEntry'>;

export type AuditPage = Schema<'AuditPage'>;

/** What it takes to watch one room with livekit-client, within a minute. */
export type WatchToken = Schema<'Watch'>;
