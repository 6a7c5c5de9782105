// For Prisma 7, of which only "generate" is run.
import { defineConfig } from 'prisma/config';

export default defineConfig({
    schema: 'schema.prisma',
    datasource: { url: process.env.DATABASE_URL },
});
