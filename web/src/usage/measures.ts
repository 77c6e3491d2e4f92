import type { UsageNumbers } from '@roomwatch/react';

/** Measures of the page by their names in the address. A peak that is unknown is null. */
export const MEASURES = {
  participants: { name: 'Participant minutes', of: (n: UsageNumbers) => n.participantMinutes },
  agents: { name: 'Agent minutes', of: (n: UsageNumbers) => n.agentMinutes },
  sip: { name: 'SIP minutes', of: (n: UsageNumbers) => n.sipMinutes },
  recorded: { name: 'Recorded minutes', of: (n: UsageNumbers) => n.recordedMinutes },
  sessions: { name: 'Sessions', of: (n: UsageNumbers) => n.sessions },
  joins: { name: 'Joins', of: (n: UsageNumbers) => n.joins },
  failures: { name: 'Failures', of: (n: UsageNumbers) => n.failures },
  peakRooms: { name: 'Peak rooms', of: (n: UsageNumbers) => n.peakRooms?.count ?? null },
  peakParticipants: { name: 'Peak participants', of: (n: UsageNumbers) => n.peakParticipants?.count ?? null },
  peakAgents: { name: 'Peak agents', of: (n: UsageNumbers) => n.peakAgents?.count ?? null },
} as const;

export type MeasureName = keyof typeof MEASURES;
export const MEASURE_NAMES = Object.keys(MEASURES) as MeasureName[];

/** Returns the moment of a peak, or null if the measure is not a peak, or the moment is unknown. */
export function momentOf(measure: MeasureName, numbers: UsageNumbers): number | null {
  if (measure === 'peakRooms') return numbers.peakRooms?.at ?? null;
  if (measure === 'peakParticipants') return numbers.peakParticipants?.at ?? null;
  if (measure === 'peakAgents') return numbers.peakAgents?.at ?? null;
  return null;
}

/** Returns the name of a series: the value of a dimension may be empty. */
export const seriesName = (key: string | null) => (key === null ? 'All' : key === '' ? 'Without a value' : key);

/** Maximum number of series in the chart: each has a colour. */
export const DRAWN_MAX = 6;
export const colourOf = (at: number) => `var(--chart-${(at % DRAWN_MAX) + 1})`;
