// For "db push" of Prisma 6, which has its schema engine in the package, over the driver adapter;
// Prisma 7 downloads that engine from elsewhere.
import { PrismaPg } from '@prisma/adapter-pg';
import { defineConfig } from 'prisma-6/config';

// The adapter refuses "char" and name, two types of the catalogs that this engine reads.
const Result = require('pg/lib/result');
const addFields = Result.prototype.addFields;
Result.prototype.addFields = function (fields: { dataTypeID: number }[]) {
    for (const field of fields) if ([18, 19].includes(field.dataTypeID)) field.dataTypeID = 25;
    return addFields.call(this, fields);
};

export default defineConfig({
    schema: process.env.PUSH_SCHEMA,
    experimental: { adapter: true },
    engine: 'js',
    adapter: async () => new PrismaPg({ connectionString: process.env.DATABASE_URL }),
});
