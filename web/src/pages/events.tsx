import { PageHeader } from '@/ui/panel';

export function Events() {
  return <PageHeader title="Events" />;
}
