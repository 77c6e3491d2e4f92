import { PageHeader } from '@/ui/panel';

export function SessionPage() {
  return <PageHeader title="Session" />;
}
