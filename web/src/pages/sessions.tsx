import { PageHeader } from '@/ui/panel';

export function Sessions() {
  return <PageHeader title="Sessions" />;
}
