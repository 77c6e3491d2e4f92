import type { Egress } from '@roomwatch/react';
import { clockTime, duration, plural } from '@/ui/format';
import { visible } from '@/ui/person-name';
import { momentOf, type Timeline } from './timeline';

const NAMES_MAX = 12;

/** Returns one line about a moment, for the slider. */
export function momentText(timeline: Timeline, at: number): string {
  const { present, unsure, tracks } = momentOf(timeline, at);
  return [
    clockTime(at),
    plural(present.length, 'participant'),
    unsure.length > 0 ? `${unsure.length} uncertain` : null,
    plural(tracks.length, 'track'),
  ]
    .filter((word) => word !== null)
    .join(', ');
}

export function Moment({ timeline, egress, at }: { timeline: Timeline; egress: Egress[]; at: number | null }) {
  if (at === null) {
    return <p className="text-ink-3">Click the timeline or use ‹ › to see who was present.</p>;
  }
  const { present, unsure, tracks } = momentOf(timeline, at);
  const recording = egress.some(
    ({ startedAt, endedAt }) => startedAt !== null && startedAt <= at && (endedAt === null || at < endedAt),
  );
  const names = present.slice(0, NAMES_MAX).map(({ name, identity }) => visible(name || identity));
  if (present.length > NAMES_MAX) names.push(`${present.length - NAMES_MAX} more`);
  const uncertain = unsure.slice(0, NAMES_MAX).map(({ name, identity }) => visible(name || identity));
  if (unsure.length > NAMES_MAX) uncertain.push(`${unsure.length - NAMES_MAX} more`);
  return (
    <p className="min-w-0">
      <span className="num font-medium">{clockTime(at)}</span>
      <span className="num text-ink-3"> · +{duration(at - timeline.from)}</span>
      <span className="text-ink-2">
        {' · '}
        {present.length === 0 ? 'no participants' : names.join(', ')}
        {uncertain.length > 0 ? ` · uncertain: ${uncertain.join(', ')}` : ''}
        {tracks.length > 0 ? ` · ${plural(tracks.length, 'track')}` : ''}
        {recording ? ' · recording' : ''}
      </span>
    </p>
  );
}
