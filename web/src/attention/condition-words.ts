import type { Condition, KnownConditionKind } from '@roomwatch/react';
import { bytes, count, dayTime, duration, plural, words } from '@/ui/format';

/** What an operator reads about a condition. */
export interface ConditionWords {
  /** "No agent in voice-7" without the room: that is a link. */
  title: string;
  /** Word before the name of the room. */
  preposition: 'in' | 'of' | null;
  /** Cause or numbers. */
  detail: string | null;
  /** What to do. */
  advice: string;
}

/** Reasons of failed calls in the words of a phone. */
const CALL_REASONS: Record<string, string> = {
  user_rejected: 'declined or busy',
  user_unavailable: 'no answer',
  sip_trunk_failure: 'SIP trunk error',
  join_failure: 'could not connect',
  media_failure: 'no media',
};

type Say = (values: Record<string, unknown>, condition: Condition) => ConditionWords;

const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
const number = (value: unknown): number => (typeof value === 'number' ? value : 0);
const join = (...parts: (string | null)[]) => parts.filter((part) => part !== null).join(' · ') || null;

/** One entry for each kind. An unknown kind is shown by its name. */
const WORDS: Record<KnownConditionKind, Say> = {
  livekit_unreachable: ({ error }) => ({
    title: 'LiveKit does not answer',
    preposition: null,
    detail: text(error),
    advice: 'Check that LiveKit runs and that Roomwatch can reach its URL. Rooms are shown as last reported.',
  }),
  key_rejected: ({ error }) => ({
    title: 'LiveKit rejects the API key',
    preposition: null,
    detail: text(error),
    advice: 'Compare the key and the secret with those of LiveKit’s configuration.',
  }),
  webhooks_missing: ({ missed, lastWebhookAt }) => ({
    title: 'Webhooks do not arrive',
    preposition: null,
    detail: join(
      `${count(number(missed))} events were found by sync instead`,
      lastWebhookAt ? null : 'no webhook has ever arrived',
    ),
    advice: 'Compare LiveKit’s webhook configuration with the one in Settings.',
  }),
  webhook_lost: () => ({
    title: 'A webhook could not be stored',
    preposition: null,
    detail: null,
    advice: 'Check the disk of Roomwatch. Its event may be missing until the next sync.',
  }),
  egress_failed: ({ error, status, stream }) => ({
    title: stream ? 'Stream failed' : 'Recording failed',
    preposition: 'of',
    detail: text(error) ?? words(text(status) ?? ''),
    advice: 'Check the output of the egress. What was not recorded cannot be recovered.',
  }),
  egress_starting: () => ({
    title: 'Recording does not start',
    preposition: 'of',
    detail: null,
    advice: 'Check that an egress worker is running and has free capacity.',
  }),
  egress_orphaned: () => ({
    title: 'Recording of a room that has ended',
    preposition: 'of',
    detail: null,
    advice: 'Stop the egress. It records an empty room.',
  }),
  agent_missing: ({ agent }) => ({
    title: 'No agent',
    preposition: 'in',
    detail: text(agent) ? `dispatched to ${agent}` : null,
    advice: 'Check that an agent worker is running and that the room is dispatched to it.',
  }),
  agent_alone: ({ agent }) => ({
    title: 'Agent alone',
    preposition: 'in',
    detail: text(agent),
    advice: 'End the room, or let the agent leave when the last participant leaves.',
  }),
  agent_failed: () => ({
    title: 'Agent failed',
    preposition: 'in',
    detail: null,
    advice: 'Look into the log of the agent worker.',
  }),
  joins_failing: (values) => ({
    title: 'Participants cannot connect',
    preposition: null,
    detail: usual(values),
    advice: 'Check TURN, the UDP ports and the certificate of LiveKit.',
  }),
  connections_lost: (values) => ({
    title: 'Participants lose their connection',
    preposition: null,
    detail: usual(values),
    advice: 'Check the network and the load of LiveKit’s nodes.',
  }),
  call_failed: ({ reason, number: phone }, { participant }) => {
    // LiveKit's name of a phone, which follows, has the number.
    const number = text(phone);
    const isNamed = number !== null && participant?.name.includes(number);
    return {
      title: 'Call failed',
      preposition: 'in',
      detail: join(CALL_REASONS[String(reason)] ?? words(String(reason ?? '')), isNamed ? null : number),
      advice: 'Check the number and the SIP trunk.',
    };
  },
  room_leftover: () => ({
    title: 'Leftover room',
    preposition: null,
    detail: 'empty for longer than its timeouts allow',
    advice: 'It was probably left by a node that died. End the room.',
  }),
  room_old: (_values, { since }) => ({
    title: 'Room is very old',
    preposition: null,
    detail: `started ${duration(Date.now() - since)} ago`,
    advice: 'End the room if nobody needs it.',
  }),
  clock_jumped: ({ seconds }) => ({
    title: 'The clock of Roomwatch has jumped',
    preposition: null,
    detail: `${number(seconds) < 0 ? 'back' : 'ahead'} by ${duration(Math.abs(number(seconds)) * 1_000)}`,
    advice: 'Check the time of its machine. Nothing is deleted for its age until the time has lasted a day.',
  }),
  file_damaged: ({ file, error, remedy }) => ({
    title: `${text(file) ?? 'A file of Roomwatch'} is damaged`,
    preposition: null,
    detail: text(error),
    advice: `${text(remedy) ?? 'Check the disk'}.`,
  }),
  history_lost: ({ from, to, gaps }) => ({
    title: 'A part of the history is missing',
    preposition: null,
    detail: join(
      `between ${dayTime(number(from))} and ${dayTime(number(to))}`,
      number(gaps) > 1 ? plural(number(gaps), 'gap') : null,
    ),
    advice: 'It was lost with a damaged file. Check the disk of Roomwatch. All other sessions are there.',
  }),
  follower_behind: ({ follower, error }) => ({
    title: 'Roomwatch is behind',
    preposition: null,
    detail: join(text(follower), text(error)),
    advice: 'Check the disk and the processor of Roomwatch, and its log.',
  }),
  disk_nearly_full: ({ freeBytes, diskBytes, usedBytes, limitBytes }) =>
    typeof limitBytes === 'number'
      ? {
          title: 'The space of Roomwatch is nearly full',
          preposition: null,
          detail: `${bytes(number(usedBytes))} of ${bytes(limitBytes)}`,
          advice:
            'Raise retention_bytes, free space on the disk, or lower retention_days. Beyond the limit events are deleted before their time.',
        }
      : {
          title: 'The disk of Roomwatch is nearly full',
          preposition: null,
          detail: `${bytes(number(freeBytes))} free of ${bytes(number(diskBytes))}`,
          advice: 'Free space on the disk. Without space no webhook can be stored.',
        },
  limits_reached: ({ limit, max, count: refused, seconds }) => ({
    title: 'A limit refuses readers',
    preposition: null,
    detail: join(
      `${text(limit) ?? 'a limit'}${typeof max === 'number' ? ` = ${count(max)}` : ''}`,
      `${count(number(refused))} ${number(refused) === 1 ? 'time' : 'times'} in ${duration(number(seconds) * 1_000)}`,
    ),
    advice:
      'Raise the limit in roomwatch.toml if these are your users. Otherwise look for the client that asks too much.',
  }),
  node_gone: ({ node, version }) => ({
    title: `Node ${text(node) ?? ''} is gone`,
    preposition: null,
    detail: text(version) ? `version ${version}` : null,
    advice: 'Check that it runs and that it can reach NATS. Its readers should be on the other nodes.',
  }),
  node_behind: ({ node }) => ({
    title: `Node ${text(node) ?? ''} is behind`,
    preposition: null,
    detail: 'its readers see an older state',
    advice: 'Check the disk and the processor of that node, and its connection to NATS.',
  }),
  log_away: ({ to, nodes }, { since }) => ({
    title: 'NATS was out of reach',
    preposition: null,
    detail: join(
      `for ${duration(number(to) - since)}, until ${dayTime(number(to))}`,
      Array.isArray(nodes) ? `for ${nodes.join(', ')}` : null,
    ),
    advice: 'Check the NATS servers and the network. Webhooks that LiveKit gave up on are found by sync.',
  }),
  replica_missing: ({ stream, servers, error }) => ({
    title: `${text(stream) ?? 'A stream'} is not on all NATS servers`,
    preposition: null,
    detail: join(Array.isArray(servers) && servers.length > 0 ? `missing on ${servers.join(', ')}` : null, text(error)),
    advice: 'Start that server, or check its disk. If one more fails, no event can be stored.',
  }),
  bootstrap_old: ({ storedAt }) => ({
    title: 'The data for new nodes is old',
    preposition: null,
    detail: typeof storedAt === 'number' ? `stored ${dayTime(storedAt)}` : 'never stored',
    advice: 'Read the log of the node with the job bootstrap. No old event is removed until it is stored again.',
  }),
};

const usual = ({ minutes, usual: rate }: Record<string, unknown>): string => {
  const within = `in ${number(minutes)} minutes`;
  return typeof rate === 'number' ? `usually ${count(rate)} ${within}` : `unusually many ${within}`;
};

/** Returns what to say about a condition. */
export function conditionWords(condition: Condition): ConditionWords {
  const say = (WORDS as Record<string, Say | undefined>)[condition.kind];
  if (say) return say(condition.values, condition);
  const name = words(condition.kind);
  return { title: name.charAt(0).toUpperCase() + name.slice(1), preposition: null, detail: null, advice: '' };
}
