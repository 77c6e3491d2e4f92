import { Badge } from '@/ui/badge';
import { words } from '@/ui/format';
import { KIND_NAMES } from '@/ui/kind-names';

/** Badge for a kind of participant; nothing for a person. */
export const KindBadge = ({ kind }: { kind: string }) =>
  kind === 'standard' ? null : <Badge>{KIND_NAMES[kind] ?? words(kind)}</Badge>;
