package jobs;

import java.util.List;
import org.springframework.data.jpa.repository.JpaRepository;
import org.springframework.data.jpa.repository.Query;

interface JpaJobs extends JpaRepository<Job, Long> {
    @Query("from Job where traceContext like :pattern")
    List<Job> findByContext(String pattern);
}
