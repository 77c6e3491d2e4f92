import type { Condition, LiveKitEvent, Message } from '@roomwatch/react';
import { conditionWords } from '@/attention/condition-words';
import { leaveReason } from '@/sessions/leave-reason';
import { words } from '@/ui/format';

/** Topic of an event, for its icon. `other` is an unknown type: it is shown too. */
export type EventTopic = 'room' | 'person' | 'track' | 'recording' | 'ingress' | 'agent' | 'attention' | 'other';

export interface EventWords {
  topic: EventTopic;
  /** Medium of a track, for its icon. */
  medium?: 'audio' | 'video' | 'screen';
  /** Effect of the event, for its colour. */
  turn: 'came' | 'went' | 'changed' | 'failed';
  /** Participant, room or object of the event; null if the event has none. */
  subject: string | null;
  /** Identity of the participant, if the subject has another name. */
  identity: string | null;
  /** Identity of the participant that the subject names. */
  who: string | null;
  /** "joined", "published camera track". */
  verb: string;
  /** Word before the name of the room: "published camera track *in* standup", but "joined standup". */
  preposition: '' | 'in ';
  /** Reason or state, if the event has one. */
  detail: string | null;
}

const field = (
  event: LiveKitEvent,
  part: 'participant' | 'track' | 'egressInfo' | 'ingressInfo' | 'job' | 'room',
  name: string,
) => {
  const object = event[part];
  const value = object && typeof object === 'object' ? (object as Record<string, unknown>)[name] : undefined;
  return typeof value === 'string' && value !== '' ? value : null;
};

const SOURCES: Record<string, string> = {
  CAMERA: 'camera',
  MICROPHONE: 'microphone',
  SCREEN_SHARE: 'screen share',
  SCREEN_SHARE_AUDIO: 'screen share audio',
};

/** Returns the source or the type of a track. LiveKit leaves out zero values: a track without a type is audio. */
function trackWords(event: LiveKitEvent): string {
  const source = field(event, 'track', 'source')?.toUpperCase();
  if (source && SOURCES[source]) return SOURCES[source];
  const type = field(event, 'track', 'type')?.toLowerCase();
  return type === 'video' || type === 'data' ? type : 'audio';
}

/** Returns "Stream" for an egress that only streams, and "Recording" for any other. */
function egressWord({ egressInfo }: LiveKitEvent): string {
  const info = (egressInfo ?? {}) as Record<string, unknown>;
  const has = (name: string) => Array.isArray(info[name]) && info[name].length > 0;
  const streams = has('streamResults') && !has('fileResults') && !has('segmentResults') && !has('imageResults');
  return streams ? 'Stream' : 'Recording';
}

/**
 * Returns true for a watcher of Roomwatch: hidden, with an identity from Roomwatch. The server decides in the same way.
 */
function isWatcher(data: LiveKitEvent): boolean {
  const { permission } = (data.participant ?? {}) as { permission?: { hidden?: unknown } };
  return permission?.hidden === true && field(data, 'participant', 'identity')?.startsWith('roomwatch:') === true;
}

function mediumOf(event: LiveKitEvent): EventWords['medium'] {
  const source = field(event, 'track', 'source')?.toUpperCase();
  if (source?.startsWith('SCREEN_SHARE')) return 'screen';
  const type = field(event, 'track', 'type')?.toUpperCase();
  if (source === 'CAMERA' || type === 'VIDEO') return 'video';
  return type === 'DATA' ? undefined : 'audio';
}

/**
 * Returns an event as a short sentence. It never throws: unknown types and values are shown as they are. `called` is
 * the known name of the participant, for an event without a name. `by` is the user whose command caused it.
 */
export function describeEvent(
  { type, data, room }: Pick<Message, 'type' | 'data' | 'room'>,
  called: string | null = null,
  by: string | null = null,
): EventWords {
  const identity = field(data, 'participant', 'identity');
  const person = field(data, 'participant', 'name') ?? called ?? identity ?? field(data, 'participant', 'sid');
  const reason = field(data, 'participant', 'disconnectReason');
  const byUser = by ? ` by ${by}` : '';
  const detail = reason && reason !== 'CLIENT_INITIATED' ? `${leaveReason(reason)}${byUser}` : null;
  // The participants did not see the watcher join or leave.
  const watcher = isWatcher(data) ? 'hidden (Roomwatch watcher)' : null;
  // The event does not say who muted: the server, an operator or the participant.
  const ofPerson = (track: string) => (person === null ? track : `${person}’s ${track}`);
  const say = (
    topic: EventTopic,
    turn: EventWords['turn'],
    subject: string | null,
    verb: string,
    more: string | null = null,
  ): EventWords => ({
    topic,
    turn,
    subject,
    who: person !== null && subject?.startsWith(person) ? identity : null,
    identity: person !== null && subject?.startsWith(person) && identity !== person ? identity : null,
    verb,
    preposition: topic === 'person' && (verb === 'joined' || verb === 'left') ? '' : 'in ',
    detail: more,
    ...(topic === 'track' ? { medium: mediumOf(data) } : {}),
  });

  switch (type) {
    case 'room_started':
      return say('room', 'came', room, 'started');
    case 'room_finished': {
      const why = typeof data.roomEndReason === 'string' ? data.roomEndReason : field(data, 'room', 'roomEndReason');
      return say('room', 'went', room, `ended${byUser}`, why ? words(why) : null);
    }
    case 'room_updated':
      return say('room', 'changed', room, `metadata changed${byUser}`);
    case 'participant_joined':
      return say('person', 'came', person, 'joined', watcher);
    case 'participant_left':
      return say('person', 'went', person, 'left', watcher ?? detail);
    case 'participant_connection_aborted':
      return say('person', 'failed', person, 'could not connect', detail);
    case 'participant_updated':
      return say('person', 'changed', person, `was updated${byUser}`, 'name, metadata or permissions');
    case 'track_published':
      return say('track', 'came', person, `published ${trackWords(data)} track`);
    case 'track_unpublished':
      return say('track', 'went', person, `unpublished ${trackWords(data)} track`);
    case 'track_muted':
      return say('track', 'changed', ofPerson(trackWords(data)), `was muted${byUser}`);
    case 'track_unmuted':
      return say('track', 'changed', ofPerson(trackWords(data)), `was unmuted${byUser}`);
    case 'egress_started':
      return say('recording', 'came', egressWord(data), 'started');
    case 'egress_updated': {
      const status = field(data, 'egressInfo', 'status');
      return say('recording', 'changed', egressWord(data), status ? words(status.replace('EGRESS_', '')) : 'updated');
    }
    case 'egress_ended': {
      const error = field(data, 'egressInfo', 'error');
      return say('recording', error ? 'failed' : 'went', egressWord(data), error ? 'failed' : 'ended', error);
    }
    case 'ingress_started':
      return say('ingress', 'came', field(data, 'ingressInfo', 'name') ?? 'Ingress', 'started streaming');
    case 'ingress_ended':
      return say('ingress', 'went', field(data, 'ingressInfo', 'name') ?? 'Ingress', 'stopped streaming');
    case 'agent_job_started':
      return say('agent', 'came', field(data, 'job', 'agentName') ?? 'Agent', 'job started');
    case 'agent_job_ended':
      return say('agent', 'went', field(data, 'job', 'agentName') ?? 'Agent', 'job ended');
    case 'roomwatch.condition_opened':
    case 'roomwatch.condition_closed':
    case 'roomwatch.condition_acknowledged':
    case 'roomwatch.condition_unacknowledged':
      return sayCondition(type, data);
    default:
      return say('other', 'changed', person ?? room, words(String(type)));
  }
}

/** Returns an event about a condition as a short sentence. */
function sayCondition(type: string, data: LiveKitEvent): EventWords {
  const about = (data.condition ?? {}) as Partial<Condition>;
  const condition = { kind: 'condition', values: {}, participant: null, since: Date.now(), ...about } as Condition;
  const { title, detail } = conditionWords(condition);
  const by = typeof data.by === 'string' ? ` by ${data.by}` : '';
  const said: Record<string, [EventWords['turn'], string, string]> = {
    'roomwatch.condition_opened': [condition.severity === 'notice' ? 'changed' : 'failed', title, ''],
    'roomwatch.condition_closed': ['came', title, 'is over'],
    'roomwatch.condition_acknowledged': ['changed', title, `acknowledged${by}`],
    'roomwatch.condition_unacknowledged': ['changed', title, `no longer acknowledged${by}`],
  };
  const [turn, subject, verb] = said[type] ?? ['changed', title, ''];
  const why = type === 'roomwatch.condition_acknowledged' && typeof data.reason === 'string' ? data.reason : null;
  return {
    topic: 'attention',
    turn,
    subject,
    identity: null,
    who: condition.participant?.identity || null,
    verb,
    preposition: 'in ',
    detail: type === 'roomwatch.condition_opened' ? detail : why,
  };
}
