import type { Session } from '@roomwatch/react';
import { CircleAlert, CircleDot } from 'lucide-react';
import { cx } from '@/ui/cx';

/** Returns the recordings of a session in words, or null if there were none. A recording that failed is not a recording. */
export function recordingWords({ recorded, recordingOutcome }: Pick<Session, 'recorded' | 'recordingOutcome'>) {
  if (recordingOutcome === 'failed') return 'recording failed';
  if (recordingOutcome === 'partial') return 'partly recorded';
  return recorded || recordingOutcome === 'complete' ? 'recorded' : null;
}

/** Mark of a session that was recorded, or should have been. */
export function RecordingMark({ session }: { session: Session }) {
  const words = recordingWords(session);
  if (words === null) return null;
  const bad = words !== 'recorded';
  const Icon = bad ? CircleAlert : CircleDot;
  return (
    <span
      className={cx(
        'inline-flex shrink-0 items-center gap-1 text-xs',
        words === 'recording failed' ? 'text-bad' : bad ? 'text-warn' : 'text-ink-2',
      )}
    >
      <Icon size={12} aria-hidden /> <span className={bad ? undefined : 'max-md:sr-only'}>{words}</span>
    </span>
  );
}
