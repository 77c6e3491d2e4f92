export type Quality = 'excellent' | 'good' | 'poor' | 'lost' | 'unknown';
export default function Watch(_: {
  room: unknown;
  onQuality: (q: ReadonlyMap<string, Quality>) => void;
  onClose: () => void;
}) {
  return null;
}
