import type { Participant } from '@roomwatch/react';
import { Badge, type Tone } from '@/ui/badge';
import { words } from '@/ui/format';
import { Panel } from '@/ui/panel';
import { Unknown } from '@/ui/states';
import { callOf, nameOf } from './people';

/** Participant of a phone call. */
export type Caller = Pick<Participant, 'sid' | 'identity' | 'name' | 'attributes'> & {
  /** Reason of the leave in words, of a call that has ended. */
  result?: string;
};

const callTones: Record<string, Tone> = { active: 'good', ringing: 'accent', dialing: 'accent', hangup: 'bad' };

/** Phone calls of the room: numbers, trunk and status from LiveKit's attributes. */
export function Calls({ callers }: { callers: Caller[] }) {
  return (
    <Panel title="Calls" flush>
      <ul className="divide-y divide-line">
        {callers.map((caller) => {
          const call = callOf(caller);
          return (
            <li key={caller.sid} className="px-4 py-3">
              <div className="flex items-center justify-between gap-3">
                <span className="num truncate font-medium">{call.number ?? nameOf(caller)}</span>
                {call.status ? (
                  <Badge tone={callTones[call.status] ?? 'plain'}>{words(call.status)}</Badge>
                ) : (
                  <Unknown />
                )}
              </div>
              <dl className="mt-1 grid grid-cols-[auto_minmax(0,1fr)] gap-x-4 gap-y-0.5 text-xs">
                <Fact name="Our number" value={call.trunkNumber} />
                <Fact name="Trunk" value={call.trunkId} mono />
                {call.ruleId ? <Fact name="Dispatch rule" value={call.ruleId} mono /> : null}
                {call.callId ? <Fact name="Call" value={call.callId} mono /> : null}
                {caller.result ? <Fact name="Result" value={caller.result} /> : null}
              </dl>
            </li>
          );
        })}
      </ul>
    </Panel>
  );
}

const Fact = ({ name, value, mono }: { name: string; value: string | null; mono?: boolean }) => (
  <>
    <dt className="text-ink-3">{name}</dt>
    <dd className={mono ? 'truncate font-mono text-ink-2' : 'num truncate text-ink-2'}>{value ?? <Unknown />}</dd>
  </>
);
