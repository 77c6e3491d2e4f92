import type { Session } from '@roomwatch/react';
import { Bot, CircleAlert, PhoneOff, WifiOff } from 'lucide-react';
import type { ReactNode } from 'react';
import { count } from '@/ui/format';
import { recordingWords } from './recording-mark';

/** Returns what went wrong in a session, in words. */
export function troubleWords(session: Session): { kind: 'lost' | 'recording' | 'call' | 'agent'; words: string }[] {
  const { lostConnections, failedRecordings, failedCalls, failedAgents } = session;
  const times = (value: number) => (value > 1 ? `${count(value)} ` : '');
  const all = [];
  if (lostConnections > 0) all.push({ kind: 'lost' as const, words: `${count(lostConnections)} lost` });
  if (failedRecordings > 0) {
    // One of several failed: a part of the session is recorded.
    const words = recordingWords(session) === 'partly recorded' ? 'partly recorded' : 'recording failed';
    all.push({ kind: 'recording' as const, words });
  }
  if (failedCalls > 0) {
    const words = failedCalls > 1 ? `${times(failedCalls)}calls failed` : 'call failed';
    all.push({ kind: 'call' as const, words });
  }
  if (failedAgents > 0) {
    const words = failedAgents > 1 ? `${times(failedAgents)}agents failed` : 'agent failed';
    all.push({ kind: 'agent' as const, words });
  }
  return all;
}

const icons: Record<string, ReactNode> = {
  lost: <WifiOff size={12} />,
  recording: <CircleAlert size={12} />,
  call: <PhoneOff size={12} />,
  agent: <Bot size={12} />,
};

/** Marks for what went wrong in a session: each an icon and words. */
export const TroubleMarks = ({ session }: { session: Session }) =>
  troubleWords(session).map(({ kind, words }) => (
    <span
      key={kind}
      title={kind === 'lost' ? 'Connections lost' : undefined}
      className={`inline-flex items-center gap-1 text-xs whitespace-nowrap ${kind === 'lost' ? 'text-warn' : 'text-bad'}`}
    >
      <span aria-hidden>{icons[kind]}</span>
      {words}
    </span>
  ));
