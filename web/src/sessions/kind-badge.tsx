import { Badge } from '@/ui/badge';

/** A kind that is not a plain person, as a badge. */
export const KindBadge = ({ kind }: { kind: string }) => (kind === 'standard' ? null : <Badge>{kind}</Badge>);
