package jobs;

import org.springframework.data.repository.CrudRepository;

interface JdbcJobs extends CrudRepository<JdbcJob, Long> {
}
